//! Device nodes of GPUs, on Linux.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A device node of a GPU: of NVIDIA's driver, AMD's, Windows' subsystem, or any other.
pub(super) fn node() -> Option<PathBuf> {
    node_in(Path::new("/dev"))
}

fn node_in(dev: &Path) -> Option<PathBuf> {
    let known = ["nvidiactl", "kfd", "dxg"].map(|name| dev.join(name));
    let others = fs::read_dir(dev.join("dri")).into_iter().flatten().flatten();
    let is_render = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("renderD"))
    };
    let others = others.map(|entry| entry.path()).filter(is_render);
    known.into_iter().filter(|node| node.exists()).chain(others).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_those_of_any_maker() {
        let dev = tempfile::tempdir().unwrap();
        let dev = dev.path();
        fs::create_dir(dev.join("dri")).unwrap();
        for other in ["null", "dri/card0"] {
            fs::write(dev.join(other), "").unwrap();
            assert_eq!(node_in(dev), None, "{other}");
        }
        for node in ["dri/renderD128", "kfd", "nvidiactl"] {
            fs::write(dev.join(node), "").unwrap();
            assert_eq!(node_in(dev), Some(dev.join(node)));
        }
    }
}
