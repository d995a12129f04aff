//! The checkout that the running program was built in, if it still lies there.

use std::path::{Path, PathBuf};

/// The folder of the sources: `<checkout>` if the program lies in `<checkout>/target/...` and
/// `<checkout>/Cargo.toml` is a file. `None` for an installed program, and for one that was built
/// with another target folder.
pub(crate) fn checkout() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    built_in(&program, |manifest| manifest.is_file())
}

fn built_in(program: &Path, is_file: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let targets = program
        .ancestors()
        .skip(1)
        .filter(|folder| folder.file_name().is_some_and(|name| name == "target"));
    targets
        .filter_map(Path::parent)
        .find(|folder| is_file(&folder.join("Cargo.toml")))
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_lies_where_cargo_put_it_knows_its_checkout_and_an_installed_one_has_none() {
        let checkout = |program: &str| {
            built_in(Path::new(program), |path| path == Path::new("/home/me/squint/Cargo.toml"))
        };
        for below in [
            "release/squint",
            "debug/deps/cli_run-0123",
            "aarch64-unknown-linux-gnu/release/squint",
        ] {
            assert_eq!(
                checkout(&format!("/home/me/squint/target/{below}")),
                Some("/home/me/squint".into()),
                "{below}"
            );
        }
        for program in [
            "/usr/bin/squint",
            "/home/me/squint/squint",
            "/home/me/target/release/squint",
            "/target/squint",
        ] {
            assert_eq!(checkout(program), None, "{program}");
        }
    }
}
