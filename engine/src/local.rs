use crate::{Cancel, Description, Device, Error, Infill, InfillRequest, Infiller, ModelSource, Step};

/// How to open a [`LocalInfiller`].
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Where the weights come from.
    pub model: ModelSource,
    /// Where to run.
    pub device: Device,
    /// Threads to compute with; all cores where it is `None`.
    pub threads: Option<usize>,
}

/// An engine in this process.
pub struct LocalInfiller {
    description: Description,
}

impl LocalInfiller {
    /// Opens and checks the checkpoint, and readies the device.
    pub fn open(options: &LocalOptions) -> Result<Self, Error> {
        let _ = options;
        Err(Error::Request("under construction".to_owned()))
    }
}

impl Infiller for LocalInfiller {
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error> {
        let _ = (request, cancel, on_step);
        Err(Error::Request("under construction".to_owned()))
    }

    fn describe(&self) -> &Description {
        &self.description
    }
}
