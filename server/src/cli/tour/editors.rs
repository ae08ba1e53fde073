//! The editors on this machine, and what to type for each.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::terminal_text::in_one_line;

/// What is said of an editor, and the lines to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) says: String,
    pub(super) lines: Vec<String>,
}

/// What there is on this machine.
pub(super) fn on_this_machine() -> Vec<Setup> {
    let find = |name: &str| which::which(name).ok();
    setups(&find, &neovim_version, std::env::current_exe().ok().as_deref())
}

/// What to do in each editor that is found. `find` looks for a program, `version_of` asks Neovim, and `this` is
/// the program that runs.
fn setups(
    find: &dyn Fn(&str) -> Option<PathBuf>,
    version_of: &dyn Fn(&Path) -> Option<(u32, u32)>,
    this: Option<&Path>,
) -> Vec<Setup> {
    let mut setups = Vec::new();
    if find("lacuna").is_none() {
        let this =
            this.map_or_else(|| "lacuna".to_owned(), |this| in_one_line(&this.display().to_string()).into_owned());
        setups.push(setup(
            &format!("Editors look for the program `lacuna` on PATH, where it is not yet. Put {this} there, or type, in the folder of the sources:"),
            &["cargo install --path server"],
        ));
    }
    let before = setups.len();
    for (name, title) in [("code", "Visual Studio Code"), ("codium", "VSCodium")] {
        if find(name).is_some() {
            let version = env!("CARGO_PKG_VERSION");
            setups.push(Setup {
                says: format!(
                    "{title} is here. The extension is in the release, as a package for each platform with the program \
                     inside, or is made in the sources' folder `editors/vscode` by `npm ci && npm run package`:"
                ),
                lines: vec![format!("{name} --install-extension lacuna-{version}.vsix")],
            });
        }
    }
    if let Some(path) = find("nvim") {
        setups.push(neovim(version_of(&path)));
    }
    if find("hx").is_some() || find("helix").is_some() {
        setups.push(setup(
            "Helix is here. It has code actions and no ghost text yet. In ~/.config/helix/languages.toml:",
            &[
                "[language-server.lacuna]",
                "command = \"lacuna\"",
                "args = [\"lsp\"]",
                "",
                "[[language]]",
                "name = \"rust\"",
                "language-servers = [\"rust-analyzer\", \"lacuna\"]",
            ],
        ));
    }
    if find("emacs").is_some() {
        setups.push(setup(
            "Emacs is here. With eglot it has code actions and no ghost text yet. In your init file:",
            &[
                "(require 'eglot)",
                "(dolist (mode '(rust-mode python-mode markdown-mode))",
                "  (add-to-list 'eglot-server-programs `(,mode . (\"lacuna\" \"lsp\"))))",
            ],
        ));
    }
    if setups.len() == before {
        let none = "None of the editors that this tour knows is on PATH: Visual Studio Code, VSCodium, Neovim, Helix, Emacs. \
                    Any other that speaks the Language Server Protocol starts the server with:";
        setups.push(setup(none, &["lacuna lsp"]));
    }
    setups.push(setup("`editors/README.md` in the sources has the settings, and more for each editor.", &[]));
    setups
}

fn neovim(version: Option<(u32, u32)>) -> Setup {
    let with_plugin = [
        "mkdir -p ~/.local/share/nvim/site/pack/lacuna/start",
        "ln -s \"$PWD/editors/nvim\" ~/.local/share/nvim/site/pack/lacuna/start/lacuna",
        "echo \"require('lacuna').setup({ keys = { accept = '<Tab>' } })\" >> ~/.config/nvim/init.lua",
    ];
    match version {
        Some((major, minor)) if (major, minor) < (0, 11) => {
            setup(&format!("Neovim {major}.{minor} is here; the plugin needs 0.11 or later."), &[])
        }
        Some((major, minor)) => {
            let drawn = if (major, minor) < (0, 12) { "the plugin draws" } else { "Neovim itself draws" };
            let says = format!(
                "Neovim {major}.{minor} is here, where {drawn} the ghost text. In the folder of the sources, in a shell:"
            );
            setup(&says, &with_plugin)
        }
        None => {
            setup("Neovim is here. If it is 0.11 or later, in the folder of the sources, in a shell:", &with_plugin)
        }
    }
}

fn setup(says: &str, lines: &[&str]) -> Setup {
    Setup { says: says.to_owned(), lines: lines.iter().map(|&line| line.to_owned()).collect() }
}

/// What Neovim says that it is.
fn neovim_version(path: &Path) -> Option<(u32, u32)> {
    let output = Command::new(path).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// The numbers in a line such as `NVIM v0.12.4`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.lines().next()?.split_once('v')?;
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Setup, parse_version, setups};

    fn with(programs: &[&str], neovim: Option<(u32, u32)>) -> Vec<Setup> {
        let find = |name: &str| programs.contains(&name).then(|| PathBuf::from(name));
        setups(&find, &|_| neovim, Some(Path::new("/here/lacuna")))
    }

    fn said(setups: &[Setup]) -> String {
        setups.iter().map(|setup| format!("{}\n{}\n", setup.says, setup.lines.join("\n"))).collect()
    }

    #[test]
    fn each_editor_that_is_found_has_its_lines() {
        let all = said(&with(&["lacuna", "code", "codium", "nvim", "hx", "emacs"], Some((0, 12))));
        for part in [
            "code --install-extension lacuna-",
            "codium --install-extension lacuna-",
            "Neovim 0.12 is here, where Neovim itself draws",
            "require('lacuna').setup",
            "languages.toml",
            "eglot-server-programs",
        ] {
            assert!(all.contains(part), "{part:?} is not in {all}");
        }
        assert!(!all.contains("cargo install"));
    }

    #[test]
    fn an_editor_that_is_not_there_has_none() {
        let none = said(&with(&["lacuna"], None));
        assert!(none.contains("None of the editors") && none.contains("lacuna lsp"), "{none}");
        let emacs = said(&with(&["lacuna", "emacs"], None));
        assert!(emacs.contains("Emacs is here") && !emacs.contains("Helix") && !emacs.contains("None of"), "{emacs}");
    }

    #[test]
    fn a_program_that_editors_will_not_find_is_said() {
        let said = said(&with(&["emacs"], None));
        assert!(said.contains("/here/lacuna") && said.contains("cargo install --path server"), "{said}");
    }

    #[test]
    fn neovim_must_be_new_enough() {
        let old = with(&["lacuna", "nvim"], Some((0, 9)));
        assert!(old[0].says.contains("0.9 is here; the plugin needs 0.11") && old[0].lines.is_empty(), "{old:?}");
        assert!(with(&["lacuna", "nvim"], Some((0, 11)))[0].says.contains("the plugin draws"));
        assert!(with(&["lacuna", "nvim"], None)[0].says.contains("If it is 0.11"));
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("NVIM v0.12.4\nBuild type: Release"), Some((0, 12)));
        assert_eq!(parse_version("NVIM v1.0.0-dev-12+gabc"), Some((1, 0)));
        assert_eq!(parse_version("something else"), None);
        assert_eq!(parse_version(""), None);
    }
}
