//! What the server tells about itself.

use serde::{Deserialize, Serialize};
use tower_lsp::ls_types::notification::Notification;

use crate::lsp::worker::{Loading, ModelState};

/// `lacuna/status`: whether there will be completions, and if not, why.
#[derive(Debug)]
pub(crate) enum StatusNotification {}

impl Notification for StatusNotification {
    type Params = Status;
    const METHOD: &'static str = "lacuna/status";
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) health: Health,
    /// One sentence for the user.
    pub(crate) message: String,
    pub(crate) model: Option<String>,
    pub(crate) device: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// All is well.
    Ok,
    /// Something is not done, on purpose.
    Warning,
    /// The model is on its way.
    Loading,
    /// Nothing will come.
    Error,
}

impl Status {
    /// How the model stands.
    pub(crate) fn of_model(state: &ModelState) -> Self {
        let (health, message) = match (&state.loading, &state.serving) {
            (Loading::UnderWay, None) => (Health::Loading, "the model is loading".to_owned()),
            (Loading::UnderWay, Some(serving)) => {
                (Health::Loading, format!("the model is loading; {} serves meanwhile", serving.model))
            }
            (Loading::Done, _) => (Health::Ok, "ready".to_owned()),
            (Loading::Failed(reason), _) => (Health::Error, reason.clone()),
        };
        Self::new(health, message, state)
    }

    /// Why one document gets nothing.
    pub(crate) fn of_silence(reason: String, state: &ModelState) -> Self {
        Self::new(Health::Warning, reason, state)
    }

    fn new(health: Health, message: String, state: &ModelState) -> Self {
        let serving = state.serving.as_ref();
        Self {
            health,
            message,
            model: serving.map(|description| description.model.clone()),
            device: serving.map(|description| description.device.clone()),
        }
    }
}
