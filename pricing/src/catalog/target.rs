//! The calls that a limit counts: all of its product, of an API, or of an operation.

use crate::gate::Target;

use super::api::Apis;
use super::mistake::{Log, did_you_mean};
use super::place::Fields;

/// Reads `api` and `operation` of a limit. `opened` are the APIs of its product, if they are known.
#[expect(clippy::option_option, reason = "read without mistakes, and there")]
pub(super) fn target(
    fields: &mut Fields<'_, '_>,
    apis: &Apis<'_>,
    opened: Option<&[String]>,
    log: &mut Log,
) -> Option<Option<Target>> {
    let operation = fields.optional("operation");
    let api = if operation.is_some() { fields.required("api") } else { fields.optional("api") };
    let Some(place) = api else { return operation.is_none().then_some(None) };
    let api = apis.mention(&place, log)?;
    if let Some(opened) = opened
        && !opened.contains(&api)
    {
        let hint = did_you_mean(&api, opened.iter().map(String::as_str));
        let message = format!("the product does not open API `{api}`{hint}: add it to its `apis`");
        place.mistake(log, message);
        return None;
    }
    let operation = match operation {
        Some(place) => Some(apis.mention_operation(&api, &place, log)?),
        None if apis.counted(&api).is_some_and(|mut operations| operations.next().is_none()) => {
            place.mistake(log, format!("every operation of API `{api}` is open: none is counted"));
            return None;
        }
        None => None,
    };
    Some(Some(Target { api, operation }))
}
