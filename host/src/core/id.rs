//! Ids of what only the host knows, as people read and write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tollgate_pricing::id::BadId;

/// A gateway: a configured Envoy, or several replicas of it. Written `gw_1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GatewayId(pub u64);

/// An API key, by its number and not its secret. Written `key_1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyId(pub u64);

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gw_{}", self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key_{}", self.0)
    }
}

impl FromStr for GatewayId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        parse("gw_", "a gateway like gw_1", text).map(Self)
    }
}

impl FromStr for KeyId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        parse("key_", "a key's id like key_1", text).map(Self)
    }
}

fn parse(prefix: &str, expected: &'static str, text: &str) -> Result<u64, BadId> {
    text.strip_prefix(prefix)
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| BadId { expected, found: text.to_owned() })
}

impl Serialize for GatewayId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GatewayId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_text(deserializer)
    }
}

/// Deserialises what people write: `sub_17`, where the wire between programs says `17`.
pub(crate) fn by_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// A [`SubscriptionId`](tollgate_pricing::id::SubscriptionId) in answers: `"sub_17"`.
pub(crate) mod subscription_text {
    use serde::{Deserializer, Serializer};
    use tollgate_pricing::id::SubscriptionId;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub(crate) fn serialize<S: Serializer>(
        id: &SubscriptionId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SubscriptionId, D::Error> {
        super::by_text(deserializer)
    }
}

/// Several [`SubscriptionId`](tollgate_pricing::id::SubscriptionId)s in answers.
pub(crate) mod subscription_texts {
    use serde::{Deserialize, Deserializer, Serializer};
    use tollgate_pricing::id::SubscriptionId;

    pub(crate) fn serialize<S: Serializer>(
        ids: &[SubscriptionId],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<SubscriptionId>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let ids: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
        ids.map_err(serde::de::Error::custom)
    }
}
