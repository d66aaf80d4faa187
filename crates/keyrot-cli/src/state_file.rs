//! Where the runs of the command count together: a file in the user's folder for state.

use std::path::PathBuf;

use keyrot::Vars;

const FILE: &str = "keyrot/state.db";

/// `$XDG_STATE_HOME` or `~/.local/state`, on Windows `%LOCALAPPDATA%`; `None` without a home.
pub(crate) fn of_user(vars: &Vars) -> Option<PathBuf> {
    let folder = |name: &str| vars.text(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else {
        folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))
    };
    state.map(|state| state.join(FILE))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn path(vars: &[(&str, &str)]) -> Option<String> {
        let path = of_user(&Vars::from_iter(vars.iter().copied()));
        path.map(|path| path.display().to_string())
    }

    #[test]
    fn the_folder_for_state_is_that_of_the_user() {
        assert_eq!(path(&[]), None);
        let home = ("HOME", "/users/me");
        assert_eq!(path(&[home]).as_deref(), Some("/users/me/.local/state/keyrot/state.db"));
        let own = path(&[home, ("XDG_STATE_HOME", "/var/me")]);
        assert_eq!(own.as_deref(), Some("/var/me/keyrot/state.db"));
        // the standard has a relative one ignored
        assert_eq!(path(&[home, ("XDG_STATE_HOME", "state")]), path(&[home]));
    }
}
