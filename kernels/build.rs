//! Compiles the kernels: for cards where there is an nvcc, for the processor where the feature `emulator` asks for it.
//!
//! Each `cu/FAMILY.cu` becomes one module. Its source, with what it includes, is always embedded, so that it can be compiled at
//! run time where no image fits the card.

#![allow(clippy::print_stdout, reason = "what a build script prints is how it talks to cargo")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

/// What nvcc compiles for, where it can. The `a` gives an architecture's own instructions, the `f` those of its family, which later minor versions
/// of it run too.
const ARCHITECTURES: [&str; 5] = ["80", "86", "89", "90a", "120f"];
/// From 12.9 on nvcc knows families; that version added this architecture.
const FIRST_WITH_FAMILIES: &str = "121";
/// What any other card compiles from at load: the oldest of them.
const PTX_ARCHITECTURE: &str = "80";
/// Arithmetic as it is written: no contraction, no flushing to zero, no approximate division or root.
const ARITHMETIC: [&str; 4] = ["--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for path in ["build.rs", "cu", "emulator"] {
        println!("cargo:rerun-if-changed={path}");
    }
    for variable in ["LACUNA_NVCC", "LACUNA_CUDA_ARCHITECTURES", "CUDA_HOME", "PATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let families = families(&root);
    let mut generated = String::from("pub(crate) static MODULES: &[Module] = &[\n");
    let images = match nvcc() {
        Some(nvcc) => compile_for_cards(&nvcc, &root, &out, &families),
        None => Vec::new(),
    };
    for family in &families {
        let source = out.join(format!("{family}.flat.cu"));
        fs::write(&source, flatten(&root, &root.join(format!("cu/{family}.cu")), &mut BTreeSet::new()))
            .unwrap_or_else(|error| panic!("{} cannot be written: {error}", source.display()));
        let _ = writeln!(generated, "Module {{ family: {family:?}, source: include_str!({source:?}), images: &[");
        for image in images.iter().filter(|image| image.family == *family) {
            let _ = writeln!(
                generated,
                "Image {{ architecture: {:?}, is_ptx: {}, bytes: include_bytes!({:?}) }},",
                image.architecture, image.is_ptx, image.path
            );
        }
        generated.push_str("] },\n");
    }
    generated.push_str("];\n\npub(crate) static RESOURCES: &[Resources] = &[\n");
    for image in &images {
        for line in resources(&image.log) {
            let _ = writeln!(generated, "Resources {{ architecture: {:?}, {line} }},", image.architecture);
        }
    }
    generated.push_str("];\n");
    fs::write(out.join("modules.rs"), generated).expect("the build folder can be written");
    #[cfg(feature = "emulator")]
    compile_for_processor(&root, &families);
}

/// The names of the files in `cu`.
fn families(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("cu")).expect("the kernels' folder is part of the package");
    let mut families: Vec<String> = entries
        .filter_map(|entry| {
            let path = entry.expect("the kernels' folder can be read").path();
            (path.extension()? == "cu").then(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))?
        })
        .collect();
    families.sort();
    families
}

/// The file with its own includes in place, each once: run-time compilation knows no folders.
fn flatten(root: &Path, path: &Path, seen: &mut BTreeSet<PathBuf>) -> String {
    if !seen.insert(path.to_owned()) {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    let mut flat = String::with_capacity(text.len());
    for line in text.lines() {
        match line.strip_prefix("#include \"common/").and_then(|rest| rest.strip_suffix('"')) {
            Some(name) => flat.push_str(&flatten(root, &root.join("cu/common").join(name), seen)),
            None if line == "#pragma once" => {}
            None => {
                flat.push_str(line);
                flat.push('\n');
            }
        }
    }
    flat
}

/// nvcc where `LACUNA_NVCC` says, or in `CUDA_HOME`, or on the path. `LACUNA_NVCC=none` builds without it.
fn nvcc() -> Option<PathBuf> {
    if let Some(named) = env::var_os("LACUNA_NVCC").filter(|named| !named.is_empty()) {
        if named == "none" {
            return None;
        }
        let path = PathBuf::from(named);
        assert!(path.is_file(), "LACUNA_NVCC is {}, where there is no file", path.display());
        return Some(path);
    }
    let home = env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let name = if cfg!(windows) { "nvcc.exe" } else { "nvcc" };
    home.into_iter().chain(env::split_paths(&path)).map(|folder| folder.join(name)).find(|path| path.is_file())
}

struct CompiledImage {
    family: String,
    architecture: String,
    is_ptx: bool,
    path: PathBuf,
    /// What the assembler says about each kernel.
    log: String,
}

fn compile_for_cards(nvcc: &Path, root: &Path, out: &Path, families: &[String]) -> Vec<CompiledImage> {
    let architectures = env::var("LACUNA_CUDA_ARCHITECTURES").ok().filter(|list| !list.is_empty());
    let architectures: Vec<String> = match &architectures {
        Some(list) => list.split(',').map(|name| name.trim().to_owned()).collect(),
        None => {
            let known = known_architectures(nvcc);
            let (usable, unknown): (Vec<&str>, Vec<&str>) =
                ARCHITECTURES.iter().partition(|name| known.contains(name.trim_end_matches(['a', 'f'])));
            if !unknown.is_empty() {
                println!("cargo:warning={} does not know sm_{}", nvcc.display(), unknown.join(", sm_"));
            }
            let suffix = if known.contains(FIRST_WITH_FAMILIES) { "f" } else { "a" };
            usable.into_iter().map(|name| name.replace('f', suffix)).collect()
        }
    };
    let mut wanted: Vec<(String, String, bool)> = Vec::new();
    for family in families {
        wanted.extend(architectures.iter().map(|architecture| (family.clone(), architecture.clone(), false)));
        wanted.push((family.clone(), PTX_ARCHITECTURE.to_owned(), true));
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from).min(wanted.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((family, architecture, is_ptx)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let image = compile_one(nvcc, root, out, family, architecture, *is_ptx);
                    done.lock().expect("a thread that panics ends the build").push(image);
                }
            });
        }
    });
    let mut images = done.into_inner().expect("a thread that panics ends the build");
    images.sort_by(|a, b| (&a.family, a.is_ptx, &a.architecture).cmp(&(&b.family, b.is_ptx, &b.architecture)));
    images
}

/// The numbers of the architectures that this nvcc compiles for.
fn known_architectures(nvcc: &Path) -> BTreeSet<String> {
    let output = Command::new(nvcc).arg("--list-gpu-arch").output();
    let output = output.unwrap_or_else(|error| panic!("{} cannot be run: {error}", nvcc.display()));
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    names.lines().filter_map(|line| line.trim().strip_prefix("compute_")).map(str::to_owned).collect()
}

fn compile_one(nvcc: &Path, root: &Path, out: &Path, family: &str, architecture: &str, is_ptx: bool) -> CompiledImage {
    let path = out.join(format!("{family}.{architecture}.{}", if is_ptx { "ptx" } else { "cubin" }));
    let mut command = Command::new(nvcc);
    command.args(["-std=c++17", "-O3", "--Werror=all-warnings", "-Xptxas=-v"]).args(ARITHMETIC);
    command.arg(format!("-arch={}_{architecture}", if is_ptx { "compute" } else { "sm" }));
    command.arg(if is_ptx { "--ptx" } else { "--cubin" });
    command.arg("-I").arg(root.join("cu")).arg("-o").arg(&path).arg(root.join(format!("cu/{family}.cu")));
    let output = command.output().unwrap_or_else(|error| panic!("{} cannot be run: {error}", nvcc.display()));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "nvcc does not compile {family}.cu for {architecture}:\n{log}");
    CompiledImage { family: family.to_owned(), architecture: architecture.to_owned(), is_ptx, path, log }
}

/// The fields of `Resources` out of the assembler's report, a line a kernel.
fn resources(log: &str) -> Vec<String> {
    let number_before = |line: &str, what: &str| -> u32 {
        let words = line.split(what).next().unwrap_or_default();
        let digits = words.split(|c: char| !c.is_ascii_digit()).rfind(|word| !word.is_empty());
        if line.contains(what) { digits.and_then(|digits| digits.parse().ok()).unwrap_or(0) } else { 0 }
    };
    let mut found = Vec::new();
    let mut kernel = None;
    let mut spilled = 0;
    for line in log.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            kernel = rest.split('\'').next().map(str::to_owned);
            spilled = 0;
        } else if line.contains("bytes spill stores") {
            spilled = number_before(line, " bytes spill stores") + number_before(line, " bytes spill loads");
        } else if line.contains("Used ")
            && line.contains(" registers")
            && let Some(kernel) = kernel.take()
        {
            found.push(format!(
                "kernel: {kernel:?}, registers: {}, static_shared_bytes: {}, spilled_bytes: {spilled}",
                number_before(line, " registers"),
                number_before(line, " bytes smem"),
            ));
        }
    }
    found
}

#[cfg(feature = "emulator")]
fn compile_for_processor(root: &Path, families: &[String]) {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(3).warnings(true).extra_warnings(true);
    build.include(root.join("cu")).include(root.join("emulator")).define("LACUNA_EMULATOR", None);
    for flag in ["-ffp-contract=off", "-fno-strict-aliasing", "-pthread", "-Wno-unknown-pragmas"] {
        build.flag(flag);
    }
    // Fused multiply-adds are function calls without this; it is the machine that builds that runs the tests.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("fma") && std::arch::is_x86_feature_detected!("avx2") {
        build.flag("-mfma").flag("-mavx2");
    }
    // Vectors in memory are aligned on a card, or the program ends: the emulator reports it.
    build.flag_if_supported("-fsanitize=alignment");
    build.file(root.join("emulator/fibers.cpp")).file(root.join("emulator/launch.cpp"));
    build.flag("-x").flag("c++");
    build.file(root.join("emulator/faults.cu")).file(root.join("emulator/block_scaled.cu"));
    for family in families {
        build.file(root.join(format!("cu/{family}.cu")));
    }
    if let Err(error) = build.try_compile("lacuna_emulator") {
        panic!("the tests of the CUDA kernels need a C++17 compiler (on Debian: apt-get install g++), and: {error}");
    }
}
