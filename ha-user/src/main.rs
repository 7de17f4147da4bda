//! The command `harrier`.

use std::process::ExitCode;

use ha_user::{
    cli,
    daemon::{self, DaemonError},
};

fn main() -> ExitCode {
    cli::main(|options| match daemon::run(options) {
        // As it is, so that its report can be coloured.
        Err(DaemonError::Config(error)) => Err(error.into()),
        result => Ok(result?),
    })
}
