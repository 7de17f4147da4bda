//! Users and groups, by name or number.

use std::{ffi::CString, io};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::config::RunAs;

/// As whom a process runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
}

/// Why a command cannot run as somebody.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is no such user.
    #[error("there is no user {0:?}; `getent passwd` lists all")]
    NoUser(String),
    /// There is no such group.
    #[error("there is no group {0:?}; `getent group` lists all")]
    NoGroup(String),
    /// A number without an entry has no group of its own.
    #[error("user {0} is not in the user database, so its group has to be given too")]
    NoOwnGroup(u32),
    /// The user database cannot be asked.
    #[error("cannot look up {name:?}: {source}")]
    Lookup {
        /// User or group.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl Identity {
    /// Asks the host's user database.
    pub(super) fn look_up(run_as: &RunAs) -> Result<Self, UserError> {
        let RunAs { user, group } = run_as;
        let failed = |name: &String| {
            let name = name.clone();
            |error: nix::Error| UserError::Lookup {
                name,
                source: error.into(),
            }
        };
        let gid = match group {
            None => None,
            Some(group) => Some(match group.parse() {
                Ok(number) => number,
                Err(_) => Group::from_name(group)
                    .map_err(failed(group))?
                    .map(|found| found.gid.as_raw())
                    .ok_or_else(|| UserError::NoGroup(group.clone()))?,
            }),
        };
        let number: Option<u32> = user.parse().ok();
        let found = match number {
            Some(uid) => User::from_uid(Uid::from_raw(uid)),
            None => User::from_name(user),
        };
        match (found.map_err(failed(user))?, number, gid) {
            (Some(found), _, gid) => {
                let gid = gid.unwrap_or(found.gid.as_raw());
                Ok(Self {
                    uid: found.uid.as_raw(),
                    gid,
                    groups: supplementary(&found.name, gid).map_err(failed(user))?,
                })
            }
            (None, Some(uid), Some(gid)) => Ok(Self {
                uid,
                gid,
                groups: vec![gid],
            }),
            (None, Some(uid), None) => Err(UserError::NoOwnGroup(uid)),
            (None, None, _) => Err(UserError::NoUser(user.clone())),
        }
    }
}

fn supplementary(user: &str, gid: u32) -> nix::Result<Vec<u32>> {
    let name = CString::new(user).map_err(|_| nix::Error::EINVAL)?;
    let groups = getgrouplist(&name, Gid::from_raw(gid))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(user: &str, group: Option<&str>) -> Result<Identity, UserError> {
        Identity::look_up(&RunAs {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }

    #[test]
    fn users_have_a_name_or_a_number() {
        let root = look_up("root", None).unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0), "{root:?}");
        assert_eq!(look_up("0", None).unwrap(), root);
        let other = look_up("root", Some("12345")).unwrap();
        assert_eq!((other.uid, other.gid), (0, 12345));
        assert!(other.groups.contains(&12345), "{other:?}");
        let unknown = look_up("3999999", Some("0")).unwrap();
        assert_eq!((unknown.uid, unknown.gid), (3_999_999, 0));
        assert_eq!(unknown.groups, [0]);
    }

    #[test]
    fn who_is_not_there_is_named() {
        let said = |user, group| look_up(user, group).unwrap_err().to_string();
        assert!(said("no-such-one", None).contains("user \"no-such-one\""));
        assert!(said("root", Some("no-such-one")).contains("group \"no-such-one\""));
        assert!(said("3999999", None).contains("group has to be given"));
        assert!(said("a\0b", None).contains("a\\0b"));
    }
}
