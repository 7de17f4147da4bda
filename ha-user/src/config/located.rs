//! Values that know where in the file they stand.

use std::ops::Range;

/// A value and the octets of the file that spell it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<T> Located<T> {
    pub(super) const fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }
}

/// One setting of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Field<T> {
    /// The file does not mention it.
    #[default]
    Absent,
    /// The file gives it, but not as anything of this kind; that has been
    /// reported, and is no reason to report that it is missing.
    Bad,
    /// The file gives it.
    Given(Located<T>),
}

impl<T> Field<T> {
    pub(super) const fn given(&self) -> Option<&Located<T>> {
        match self {
            Self::Given(located) => Some(located),
            Self::Absent | Self::Bad => None,
        }
    }

    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}
