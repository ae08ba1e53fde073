//! Texts that others wrote, as this workspace's dependencies carry them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::super::defects;
use super::laid_out;

/// The folders of all packages that this workspace is built from.
fn packages() -> Vec<PathBuf> {
    let output = Command::new(std::env::var("CARGO").unwrap())
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()).collect()
}

#[test]
fn readmes_of_the_dependencies() {
    let (mut files, mut lines, mut changed_lines) = (0, 0, 0);
    for package in packages() {
        let Ok(text) = std::fs::read_to_string(package.join("README.md")) else { continue };
        let formatted = laid_out(&text);
        assert_eq!(formatted.note, None, "{}", package.display());
        files += 1;
        lines += text.lines().count();
        let edits = super::edits(&text, &formatted.text);
        changed_lines += edits
            .iter()
            .map(|(range, new)| text[range.clone()].lines().count().max(new.lines().count()))
            .sum::<usize>();
        // Whatever is plainly wrong was published so: there is little of it.
        let plain = defects::find(&formatted.text).into_iter().filter(|defect| defect.prior > 0);
        assert!(plain.count() <= 5, "{}", package.display());
    }
    assert!(files >= 50, "only {files} files");
    assert!(changed_lines * 10 < lines, "{changed_lines} of {lines} lines changed");
}

/// The examples of the CommonMark specification, which one of the dependencies carries.
#[test]
fn examples_of_the_specification() {
    let examples = packages()
        .into_iter()
        .find_map(|package| std::fs::read_to_string(package.join("tests/commonmark/spec.json")).ok())
        .expect("the formatter carries the specification's examples");
    let examples: Vec<Value> = serde_json::from_str(&examples).unwrap();
    assert!(examples.len() > 600, "only {}", examples.len());
    let mut noted = Vec::new();
    for example in examples {
        let text = example["markdown"].as_str().unwrap();
        for text in [text.to_owned(), text.replace('\n', "\r\n"), text.trim_end_matches('\n').to_owned()] {
            if laid_out(&text).note.is_some() {
                noted.push(example["example"].as_u64().unwrap());
            }
        }
    }
    noted.dedup();
    // In these the formatter would change more than the layout, and is not let.
    assert_eq!(noted, [118, 196, 257, 313, 642]);
}
