//! From files to a tree of lines: comments, includes, conditions, parameters and
//! repetitions are done with here.

mod expand;
mod glob;
mod text;
mod tree;
mod words;

use std::path::Path;

pub(super) use self::{
    tree::Line,
    words::{Word, command, split_command},
};
use super::Files;
use crate::config::{diagnostic::Diagnostic, sources::Sources};

/// The lines of the first of `sources` and of what it includes, which is added
/// to them. `id` is what conditions are held against.
pub(super) fn read(
    sources: &mut Sources,
    files: Files,
    id: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Line> {
    let directory = Path::new(&sources.main().name)
        .parent()
        .map_or_else(Default::default, Path::to_owned);
    let lines = expand::expand(sources, files, id, directory, diagnostics);
    tree::build(&lines, diagnostics)
}
