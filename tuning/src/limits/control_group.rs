//! The memory limit of the control groups above this process, of either version.

use crate::root::{Reading, Root, Unknown, malformed, parse};

/// Version 1 writes "no limit" as the largest number of whole pages; nothing near it is a limit.
const V1_UNLIMITED_MIN: u64 = 1 << 62;

/// A control group that limits memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlGroup {
    /// Its folder.
    pub path: String,
    pub limit_bytes: u64,
    /// Without the page cache, which the kernel gives back when asked. Sockets are in it: the kernel charges `tcp_sock`
    /// (on accept, since 6.12), inodes, dentries, files and requests to the group of whoever accepts.
    pub used_bytes: u64,
}

impl ControlGroup {
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }
}

/// The names of one version.
struct Version {
    /// Where its hierarchy is, the first that is there.
    mounts: &'static [&'static str],
    limit: &'static str,
    used: &'static str,
    cache: [&'static str; 2],
}

const V1: Version = Version {
    mounts: &["/sys/fs/cgroup/memory"],
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: ["total_inactive_file", "total_active_file"],
};

const V2: Version = Version {
    mounts: &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"],
    limit: "memory.max",
    used: "memory.current",
    cache: ["inactive_file", "active_file"],
};

/// The group with the least room among this process' own and all above it, `None` when none limits memory.
pub(super) fn read(root: &Root) -> Reading<Option<ControlGroup>> {
    const FILE: &str = "/proc/self/cgroup";
    let text = match root.text(FILE) {
        Ok(text) => text,
        // A kernel without control groups limits nothing by them.
        Err(unknown) if unknown.is_missing() && root.path("/proc/self").is_dir() => {
            return Ok(None);
        }
        Err(unknown) => return Err(unknown),
    };
    let (version, path) = membership(&text).ok_or_else(|| {
        malformed(
            FILE,
            "a line of the memory controller or of version 2",
            &text,
        )
    })?;
    if path.split('/').any(|part| part == "..") {
        return Err(malformed(FILE, "a group inside of this namespace", path));
    }
    version.tightest(root, path)
}

/// Lines read `number:controllers:path`; version 2 has number 0 and no controllers.
fn membership(text: &str) -> Option<(Version, &str)> {
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        Some((parts.next()?, parts.next()?, parts.next()?))
    });
    let lines: Vec<_> = lines.collect();
    let memory = lines
        .iter()
        .find(|(_, controllers, _)| controllers.split(',').any(|it| it == "memory"));
    if let Some((_, _, path)) = memory {
        return Some((V1, path));
    }
    let unified = lines
        .iter()
        .find(|(number, names, _)| *number == "0" && names.is_empty());
    unified.map(|(_, _, path)| (V2, *path))
}

impl Version {
    fn tightest(&self, root: &Root, path: &str) -> Reading<Option<ControlGroup>> {
        let mount = self.mounts.iter().find(|mount| root.path(mount).is_dir());
        let Some(mount) = mount else {
            let file = self.mounts[0].to_owned();
            let why = crate::root::Why::Missing;
            return Err(Unknown { file, why });
        };
        let mut tightest: Option<ControlGroup> = None;
        for folder in ancestors(mount, path) {
            let Some(group) = self.group(root, &folder)? else {
                continue;
            };
            let tighter = |least: &ControlGroup| group.room_bytes() < least.room_bytes();
            if tightest.as_ref().is_none_or(tighter) {
                tightest = Some(group);
            }
        }
        Ok(tightest)
    }

    /// `None` without a limit: the root has no such file, and neither has a folder that is not shown in a container.
    fn group(&self, root: &Root, folder: &str) -> Reading<Option<ControlGroup>> {
        let file = format!("{folder}/{}", self.limit);
        let limit = match root.text(&file) {
            Ok(text) if text == "max" => return Ok(None),
            Ok(text) => parse(&file, &text, &text)?,
            Err(unknown) if unknown.is_missing() => return Ok(None),
            Err(unknown) => return Err(unknown),
        };
        if limit >= V1_UNLIMITED_MIN {
            return Ok(None);
        }
        let used = root.number(&format!("{folder}/{}", self.used))?;
        Ok(Some(ControlGroup {
            path: folder.to_owned(),
            limit_bytes: limit,
            used_bytes: used.saturating_sub(self.cache_bytes(root, folder)?),
        }))
    }

    fn cache_bytes(&self, root: &Root, folder: &str) -> Reading<u64> {
        let file = format!("{folder}/memory.stat");
        let text = root.text(&file)?;
        let mut bytes: u64 = 0;
        for line in text.lines() {
            if let Some((key, value)) = line.split_once(' ')
                && self.cache.contains(&key)
            {
                bytes = bytes.saturating_add(parse(&file, line, value)?);
            }
        }
        Ok(bytes)
    }
}

/// The folder of a group and of all above it, up to the mount.
fn ancestors(mount: &str, path: &str) -> Vec<String> {
    let mut folders = vec![mount.to_owned()];
    let mut folder = mount.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        folder = format!("{folder}/{part}");
        folders.push(folder.clone());
    }
    folders.reverse();
    folders
}
