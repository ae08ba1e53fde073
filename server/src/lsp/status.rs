//! What the server tells about itself unasked.

use serde::{Deserialize, Serialize};
use tower_lsp::ls_types::notification::Notification;

use crate::lsp::worker::ModelState;

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
    health: Health,
    /// One sentence for the user.
    message: String,
    model: Option<String>,
    device: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Health {
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
        let (health, message) = match state {
            ModelState::Loading => (Health::Loading, "the model is loading".to_owned()),
            ModelState::Ready(_) => (Health::Ok, "ready".to_owned()),
            ModelState::Failed(reason) => (Health::Error, reason.clone()),
        };
        Self::new(health, message, state)
    }

    /// Why one document gets nothing.
    pub(crate) fn of_exclusion(reason: &str, state: &ModelState) -> Self {
        Self::new(Health::Warning, reason.to_owned(), state)
    }

    fn new(health: Health, message: String, state: &ModelState) -> Self {
        let description = match state {
            ModelState::Ready(description) => Some(description),
            ModelState::Loading | ModelState::Failed(_) => None,
        };
        Self {
            health,
            message,
            model: description.map(|description| description.model.clone()),
            device: description.map(|description| description.device.clone()),
        }
    }
}
