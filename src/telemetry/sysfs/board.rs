//! Which board it is, which release runs on it, and its power modes. An edge module.

use std::path::Path;

use super::node::{Node, text};

/// Most power modes that are kept.
const MAX_MODES: usize = 64;

/// What a board says of itself.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Model of the device tree, or product name of the firmware.
    pub(super) name: Option<String>,
    /// `R32.7.1`.
    pub(super) release: Option<String>,
    /// True for a TX2 of any kind.
    pub(super) tegra186: bool,
    /// True for any Tegra.
    pub(super) tegra: bool,
    /// Names of the power modes.
    pub(super) modes: Vec<(u32, String)>,
}

impl Board {
    /// Under `root`.
    pub(super) fn open(root: &Path) -> Self {
        let tree = |name: &str| {
            let places = ["proc/device-tree", "sys/firmware/devicetree/base"];
            places.iter().find_map(|place| text(&root.join(place).join(name)))
        };
        let firmware = |name: &str| text(&root.join("sys/class/dmi/id").join(name));
        let product = || match (firmware("sys_vendor"), firmware("product_name")) {
            (Some(maker), Some(product)) if !product.starts_with(&maker) => {
                Some(format!("{maker} {product}"))
            }
            (_, product) => product,
        };
        let compatible = tree("compatible").unwrap_or_default();
        let modes =
            text(&root.join("etc/nvpmodel.conf")).map(|file| modes(&file)).unwrap_or_default();
        Self {
            name: tree("model").or_else(product),
            release: text(&root.join("etc/nv_tegra_release")).and_then(|file| release(&file)),
            tegra186: compatible.contains("nvidia,tegra186"),
            tegra: compatible.contains("nvidia,tegra"),
            modes,
        }
    }
}

/// `R32.7.1` of `# R32 (release), REVISION: 7.1, GCID: …`.
fn release(file: &str) -> Option<String> {
    let line = file.lines().next()?.strip_prefix('#')?.trim_start();
    let major = line
        .split_whitespace()
        .next()
        .filter(|major| major.starts_with('R') && major.len() <= 8)?;
    let minor = line.split_once("REVISION:")?.1.split(',').next()?.trim();
    let number = |text: &str| {
        !text.is_empty()
            && text.len() <= 16
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    (number(major.get(1..)?) && number(minor)).then(|| format!("{major}.{minor}"))
}

/// Modes of `/etc/nvpmodel.conf`, whose lines say `< POWER_MODEL ID=0 NAME=MAXN >`.
fn modes(file: &str) -> Vec<(u32, String)> {
    let mode = |line: &str| {
        let inside = line.trim().strip_prefix('<')?.trim().strip_prefix("POWER_MODEL")?;
        let value = |key: &str| {
            inside.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        Some((
            value("ID")?.parse().ok()?,
            value("NAME")?.trim_end_matches('>').chars().take(64).collect(),
        ))
    };
    file.lines().filter_map(mode).take(MAX_MODES).collect()
}

/// The number of the power mode, as `nvpmodel` notes it: `pmode:0003`.
pub(super) struct PowerMode(Option<Node>);

impl PowerMode {
    /// Under `root`; and where it is read, if anywhere.
    pub(super) fn open(root: &Path) -> (Self, Option<String>) {
        let node = Node::open(root.join("var/lib/nvpmodel/status"));
        let origin = node.as_ref().map(|node| node.path().display().to_string());
        (Self(node), origin)
    }

    /// Reads it.
    pub(super) fn read(&mut self) -> Option<u32> {
        let mut buffer = [0; 64];
        let status = std::str::from_utf8(self.0.as_mut()?.read(&mut buffer)?).ok()?;
        let digits = status.split_once("pmode:")?.1;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_and_nonsense_is_none() {
        let line = "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t186ref, EABI: aarch64";
        assert_eq!(release(line).as_deref(), Some("R32.7.1"));
        assert_eq!(release("# R36 (release), REVISION: 4.0, GCID: 1").as_deref(), Some("R36.4.0"));
        for nonsense in [
            "",
            "R32",
            "# R32 (release)",
            "# x (release), REVISION: 7.1",
            "# R32 (release), REVISION: 7;1",
        ] {
            assert_eq!(release(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn power_modes_are_read_by_number_and_name() {
        let file = "< PARAM TYPE=CLOCK NAME=CPU >\n< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n<POWER_MODEL ID=1 NAME=MAXQ>\n\
                    < POWER_MODEL NAME=NO_NUMBER >\n< PM_CONFIG DEFAULT=3 >";
        assert_eq!(modes(file), [(0, "MAXN".to_owned()), (1, "MAXQ".to_owned())]);
        let root = tempfile::tempdir().unwrap();
        assert_eq!(PowerMode::open(root.path()).0.read(), None);
        std::fs::create_dir_all(root.path().join("var/lib/nvpmodel")).unwrap();
        std::fs::write(root.path().join("var/lib/nvpmodel/status"), "pmode:0003 fmode:quiet")
            .unwrap();
        assert_eq!(PowerMode::open(root.path()).0.read(), Some(3));
        std::fs::write(root.path().join("var/lib/nvpmodel/status"), "pmode:").unwrap();
        assert_eq!(PowerMode::open(root.path()).0.read(), None);
    }
}
