//! The kernels as this program holds them: sources, and images for the cards that it was built for.

/// One file of kernels.
pub(crate) struct Module {
    pub(crate) family: &'static str,
    /// With all that it includes.
    pub(crate) source: &'static str,
    pub(crate) images: &'static [Image],
}

/// A module compiled for one architecture.
#[derive(Clone, Copy)]
pub(crate) struct Image {
    /// As nvcc names it: `80`, `90a`, `120f`.
    pub(crate) architecture: &'static str,
    /// Whether it is for any later architecture too, to be compiled by the driver.
    pub(crate) is_ptx: bool,
    pub(crate) bytes: &'static [u8],
}

/// What the assembler gave a kernel on one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// As nvcc names it: `80`, `90a`, `120f`.
    pub architecture: &'static str,
    /// The kernel's name.
    pub kernel: &'static str,
    /// 32-bit registers a thread.
    pub registers: u32,
    /// Shared memory a block, beside what a launch asks for.
    pub static_shared_bytes: u32,
    /// Stored to and loaded from local memory, for want of registers.
    pub spilled_bytes: u32,
}

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// What the assembler gave each kernel; nothing where this program was built without nvcc.
pub fn resources() -> &'static [Resources] {
    RESOURCES
}

/// The module of a family.
pub(crate) fn module(family: &str) -> &'static Module {
    MODULES
        .iter()
        .find(|module| module.family == family)
        .unwrap_or_else(|| panic!("no file of kernels is called {family}"))
}

/// The images that a card of this compute capability may run, the best first.
pub(crate) fn fitting_images(images: &'static [Image], (major, minor): (i32, i32)) -> Vec<Image> {
    let mut fitting: Vec<(Fit, Image)> =
        images.iter().filter_map(|image| Some((fit(image, major, minor)?, *image))).collect();
    fitting.sort_by_key(|(fit, _)| std::cmp::Reverse(*fit));
    fitting.into_iter().map(|(_, image)| image).collect()
}

/// How well an image fits, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// The driver has to compile it.
    Ptx,
    /// An older minor version of the same generation, or this one.
    SameGeneration(i32),
    /// The same, with the instructions that all of its family have.
    Family(i32),
    /// With this architecture's own instructions.
    Own,
}

fn fit(image: &Image, major: i32, minor: i32) -> Option<Fit> {
    let digits = image.architecture.trim_end_matches(['a', 'f']);
    let number: i32 = digits.parse().ok()?;
    let (image_major, image_minor) = (number / 10, number % 10);
    let same_generation = image_major == major && image_minor <= minor;
    match (image.is_ptx, &image.architecture[digits.len()..]) {
        (true, "") => (number <= major * 10 + minor).then_some(Fit::Ptx),
        (false, "") => same_generation.then_some(Fit::SameGeneration(image_minor)),
        (false, "f") => same_generation.then_some(Fit::Family(image_minor)),
        (false, "a") => ((image_major, image_minor) == (major, minor)).then_some(Fit::Own),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_gets_the_images_that_it_can_run_best_first() {
        const fn image(architecture: &'static str, is_ptx: bool) -> Image {
            Image { architecture, is_ptx, bytes: &[] }
        }
        static IMAGES: [Image; 8] = [
            image("80", false),
            image("86", false),
            image("89", false),
            image("90a", false),
            image("120", false),
            image("120a", false),
            image("120f", false),
            image("80", true),
        ];
        let names = |capability| -> Vec<String> {
            let name =
                |image: &Image| format!("{}{}", if image.is_ptx { "compute_" } else { "sm_" }, image.architecture);
            fitting_images(&IMAGES, capability).iter().map(name).collect()
        };
        assert_eq!(names((8, 0)), ["sm_80", "compute_80"]);
        assert_eq!(names((8, 7)), ["sm_86", "sm_80", "compute_80"]);
        assert_eq!(names((8, 9)), ["sm_89", "sm_86", "sm_80", "compute_80"]);
        assert_eq!(names((9, 0)), ["sm_90a", "compute_80"]);
        assert_eq!(names((10, 0)), ["compute_80"]);
        assert_eq!(names((12, 0)), ["sm_120a", "sm_120f", "sm_120", "compute_80"]);
        assert_eq!(names((12, 1)), ["sm_120f", "sm_120", "compute_80"]);
        assert_eq!(names((7, 5)), [] as [&str; 0]);
    }

    #[test]
    fn every_source_is_whole() {
        assert!(!MODULES.is_empty());
        for module in MODULES {
            assert!(module.source.contains("KERNEL("), "{} holds no kernel", module.family);
            assert!(!module.source.contains("#include \"common/"), "{} still includes a file", module.family);
        }
    }
}
