//! Every way the core says no. One place for the words; the edge maps [`Kind`] to HTTP once.

use tollgate_pricing::catalog::Mistakes;
use tollgate_pricing::gate::BadRule;
use tollgate_pricing::id::{BootId, Hex128, LedgerId, SubscriptionId};
use tollgate_pricing::quote::QuoteError;

use super::id::KeyId;
use super::invoice::InvoiceNumber;

/// Whose fault a refusal is, and so what a caller can do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// No such thing.
    NotFound,
    /// The thing exists, but its state does not allow this.
    Conflict,
    /// The request cannot be right.
    Invalid,
    /// Nobody known asks.
    Unauthenticated,
    /// Somebody known asks for what is not theirs.
    Forbidden,
    /// Not now: the disk or the database does not do its work. Nothing was changed; ask again.
    Unavailable,
    /// The ledger holds what it cannot hold. An operator must look.
    Damaged,
}

/// A request that changed nothing, and why.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No subscription has this id.
    #[error("no subscription is {0}")]
    NoSubscription(SubscriptionId),
    /// No key has this id.
    #[error("no key is {0}")]
    NoKey(KeyId),
    /// No invoice has this number.
    #[error("no invoice is {0}")]
    NoInvoice(InvoiceNumber),
    /// No charge has this id.
    #[error("no charge is {0}")]
    NoCharge(u64),
    /// No period of this subscription is open.
    #[error("{0} has no open period to preview")]
    NoOpenPeriod(SubscriptionId),
    /// The catalog has no such product.
    #[error("the catalog has no product {0:?}")]
    NoProduct(String),
    /// The product has no such limit.
    #[error("product {product:?} has no limit {limit:?}")]
    NoLimit {
        /// The product.
        product: String,
        /// The limit.
        limit: String,
    },
    /// No catalog was ever loaded.
    #[error("no catalog is loaded")]
    NoCatalog,

    /// The catalog's text is wrong; all mistakes, with their places.
    #[error("the catalog has mistakes:\n{0}")]
    Catalog(Mistakes),
    /// A catalog without a product that somebody subscribes to.
    #[error("product {product:?} has live subscriptions ({live}): keep it, or cancel them first")]
    ProductInUse {
        /// The product.
        product: String,
        /// How many subscriptions that have not ended.
        live: u64,
    },
    /// A catalog that changes the billing period of a product that somebody subscribes to.
    #[error(
        "product {product:?} has live subscriptions ({live}): `every` cannot change under them"
    )]
    BillingPeriodInUse {
        /// The product.
        product: String,
        /// How many subscriptions that have not ended.
        live: u64,
    },
    /// A catalog that changes the periods of a quota under its old id.
    #[error(
        "the period of quota {limit:?} of product {product:?} cannot change while {live} \
         subscriptions are live: give the quota a new id"
    )]
    QuotaPeriodInUse {
        /// The product.
        product: String,
        /// The limit.
        limit: String,
        /// How many subscriptions that have not ended.
        live: u64,
    },
    /// A catalog that changes what a quota counts under its old id.
    #[error(
        "quota {limit:?} of product {product:?} cannot count something else while {live} \
         subscriptions are live: give it a new id"
    )]
    QuotaMeterInUse {
        /// The product.
        product: String,
        /// The limit.
        limit: String,
        /// How many subscriptions that have not ended.
        live: u64,
    },
    /// A catalog or plan under whose limit a subscription's own numbers make no sense.
    #[error("the own numbers of {subscription} for limit {limit:?} do not fit ({why}): clear them")]
    OverrideUnfit {
        /// Whose.
        subscription: SubscriptionId,
        /// The limit.
        limit: String,
        /// What does not fit.
        why: String,
    },
    /// A plan that is billed by other periods.
    #[error(
        "product {from}, {to}: a plan changes between products of the same billing period; make \
         a new subscription instead"
    )]
    PlanPeriodDiffers {
        /// The old product and its period.
        from: String,
        /// The new ones.
        to: String,
    },
    /// A plan with a limit of the same id that counts otherwise.
    #[error("limit {limit:?} of product {from:?} {difference} than that of {to:?}: rename one")]
    PlanLimitDiffers {
        /// The limit.
        limit: String,
        /// The old product.
        from: String,
        /// The new one.
        to: String,
        /// In which way.
        difference: &'static str,
    },
    /// A catalog that makes a rate of a quota, or the reverse, under its old id.
    #[error(
        "limit {limit:?} of product {product:?} cannot change between a quota and a rate while \
         {live} subscriptions are live: give it a new id"
    )]
    LimitKindInUse {
        /// The product.
        product: String,
        /// The limit.
        limit: String,
        /// How many subscriptions that have not ended.
        live: u64,
    },
    /// A catalog in another currency than the one subscriptions were made under.
    #[error(
        "the catalog's currency cannot change from {from} to {to} once there are subscriptions"
    )]
    CurrencyInUse {
        /// The currency so far.
        from: String,
        /// The new catalog's.
        to: String,
    },

    /// No gateway has this name.
    #[error("no gateway is named {0:?}")]
    NoGateway(String),
    /// The gateway has no such process.
    #[error("no process {0} of this gateway was ever seen")]
    NoBoot(BootId),
    /// Only the silent are forgotten.
    #[error(
        "process {0} synced in the last minute: it is alive, and returns what it holds by itself"
    )]
    BootLives(BootId),
    /// No process has an id that begins so, or several have.
    #[error("expected the beginning of one process's id, found {0:?}, of none or of several")]
    NoBootLike(String),
    /// Whoever says that it ended is mistaken, or was too quick.
    #[error("process {0} synced a moment ago: tell this again once it has ended")]
    BootHeard(BootId),
    /// Usage out of a log that no gateway of this ledger wrote there.
    #[error(
        "no gateway of this ledger wrote this about process {0}: its seal is not this ledger's. \
         Did a caller get it into the log, in a header or a path that is logged?"
    )]
    ForgedSpill(BootId),
    /// Usage of another ledger's gateways.
    #[error("expected usage of ledger {expected}, found usage of {found}: it is billed there")]
    ForeignLedger {
        /// This one.
        expected: LedgerId,
        /// Whose it is.
        found: LedgerId,
    },
    /// A process that only its log tells of.
    #[error("process {0} never synced here: name its gateway, of those there are ({1})")]
    WhoseBoot(BootId, String),
    /// No restore is waited for.
    #[error("nothing is held back: no restored ledger waits for gateways")]
    NothingHeld,
    /// A gateway of this name exists.
    #[error("a gateway named {0:?} exists")]
    GatewayExists(String),
    /// These random bytes made a key or token before.
    #[error("the random bytes given have been used before")]
    ChanceSpent,
    /// A subscription has at most two keys at a time, besides one that retires.
    #[error("{0} has two keys: revoke or rotate one")]
    TooManyKeys(SubscriptionId),
    /// A subscription has at most one key that retires at a time.
    #[error("{0} has a key that retires: revoke it now, or wait for its end, to rotate another")]
    RotationUnderWay(SubscriptionId),
    /// A key whose successor is there.
    #[error("{0} retires: another has taken its place")]
    KeyRetires(KeyId),
    /// A revoked key stays revoked.
    #[error("{0} is revoked")]
    KeyRevoked(KeyId),
    /// Keys of consumers' own, under a catalog that does not have them looked up.
    #[error("the catalog takes no keys of consumers' own: write `key: {{ imported: true }}` in it")]
    KeysNotImported,
    /// A key that cannot be taken over; its text is not told.
    #[error(
        "key {line}: expected {} to {} bytes of visible ASCII, found {found}",
        super::keys::MIN_IMPORTED_BYTES,
        super::keys::MAX_IMPORTED_BYTES
    )]
    KeyUnfit {
        /// Which of those given, from 1.
        line: usize,
        /// Its length, or where the first byte is that does not fit.
        found: String,
    },
    /// A key that somebody has or had.
    #[error("key {line} cannot be taken over: it is in use, or was revoked")]
    KeyTaken {
        /// Which of those given, from 1.
        line: usize,
    },
    /// An ended subscription stays so.
    #[error("{0} has ended")]
    SubscriptionEnded(SubscriptionId),
    /// A change that does not lead away from the state a subscription is in.
    #[error("{subscription} is {state}: {advice}")]
    WrongState {
        /// Which.
        subscription: SubscriptionId,
        /// Its state.
        state: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// A charge was settled otherwise before.
    #[error("charge {0} is settled otherwise")]
    ChargeSettled(u64),

    /// A value outside its bounds.
    #[error("{what}: expected {expected}, found {found}")]
    Invalid {
        /// The field.
        what: &'static str,
        /// Its bounds.
        expected: String,
        /// What came.
        found: String,
    },
    /// A rule whose numbers do not go together.
    #[error(transparent)]
    BadRule(#[from] BadRule),
    /// A sum past what an invoice can hold.
    #[error("{0}: past every bound")]
    PastBounds(&'static str),
    /// A period whose price is past what an amount can be.
    #[error(transparent)]
    Unpriced(#[from] QuoteError),

    /// No token, or one nobody has.
    #[error("the token is not known here")]
    UnknownToken,
    /// A gateway's token where an operator's is needed, or the reverse.
    #[error("this token is not {0}")]
    WrongRole(&'static str),
    /// A boot that came under another gateway's token before.
    #[error("boot {0} belongs to another gateway's token")]
    ForeignBoot(Hex128),

    /// The database did not do its work; nothing was changed.
    #[error("the ledger's database is not available: {0}")]
    Unavailable(String),
    /// The database holds what it cannot hold.
    #[error("the ledger's database is damaged: {0}")]
    Damaged(String),
}

impl Refusal {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        self.kind_and_reason().0
    }

    /// A stable word, for programs.
    pub fn reason(&self) -> &'static str {
        self.kind_and_reason().1
    }

    fn kind_and_reason(&self) -> (Kind, &'static str) {
        match self {
            Self::NoSubscription(_) => (Kind::NotFound, "no_subscription"),
            Self::NoKey(_) => (Kind::NotFound, "no_key"),
            Self::NoInvoice(_) => (Kind::NotFound, "no_invoice"),
            Self::NoCharge(_) => (Kind::NotFound, "no_charge"),
            Self::NoOpenPeriod(_) => (Kind::NotFound, "no_open_period"),
            Self::NoProduct(_) => (Kind::NotFound, "no_product"),
            Self::NoLimit { .. } => (Kind::NotFound, "no_limit"),
            Self::NoCatalog => (Kind::Unavailable, "no_catalog"),
            Self::Catalog(_) => (Kind::Invalid, "catalog_mistakes"),
            Self::ProductInUse { .. } => (Kind::Conflict, "product_in_use"),
            Self::BillingPeriodInUse { .. } => (Kind::Conflict, "billing_period_in_use"),
            Self::QuotaPeriodInUse { .. } => (Kind::Conflict, "quota_period_in_use"),
            Self::LimitKindInUse { .. } => (Kind::Conflict, "limit_kind_in_use"),
            Self::QuotaMeterInUse { .. } => (Kind::Conflict, "quota_meter_in_use"),
            Self::OverrideUnfit { .. } => (Kind::Conflict, "override_unfit"),
            Self::PlanPeriodDiffers { .. } => (Kind::Conflict, "plan_period_differs"),
            Self::PlanLimitDiffers { .. } => (Kind::Conflict, "plan_limit_differs"),
            Self::CurrencyInUse { .. } => (Kind::Conflict, "currency_in_use"),
            Self::NoGateway(_) => (Kind::NotFound, "no_gateway"),
            Self::NoBoot(_) | Self::NoBootLike(_) => (Kind::NotFound, "no_boot"),
            Self::BootLives(_) => (Kind::Conflict, "boot_lives"),
            Self::BootHeard(_) => (Kind::Conflict, "boot_heard"),
            Self::ForeignLedger { .. } => (Kind::Conflict, "foreign_ledger"),
            Self::ForgedSpill(..) => (Kind::Forbidden, "forged_spill"),
            Self::WhoseBoot(..) => (Kind::Conflict, "whose_boot"),
            Self::NothingHeld => (Kind::Conflict, "nothing_held"),
            Self::GatewayExists(_) => (Kind::Conflict, "gateway_exists"),
            Self::ChanceSpent => (Kind::Conflict, "chance_spent"),
            Self::TooManyKeys(_) => (Kind::Conflict, "too_many_keys"),
            Self::RotationUnderWay(_) => (Kind::Conflict, "rotation_under_way"),
            Self::KeyRetires(_) => (Kind::Conflict, "key_retires"),
            Self::KeyRevoked(_) => (Kind::Conflict, "key_revoked"),
            Self::KeysNotImported => (Kind::Conflict, "keys_not_imported"),
            Self::KeyUnfit { .. } => (Kind::Invalid, "key_unfit"),
            Self::KeyTaken { .. } => (Kind::Conflict, "key_taken"),
            Self::SubscriptionEnded(_) => (Kind::Conflict, "subscription_ended"),
            Self::WrongState { .. } => (Kind::Conflict, "wrong_state"),
            Self::ChargeSettled(_) => (Kind::Conflict, "charge_settled"),
            Self::Invalid { .. } => (Kind::Invalid, "invalid"),
            Self::BadRule(_) => (Kind::Invalid, "bad_rule"),
            Self::PastBounds(_) => (Kind::Damaged, "past_bounds"),
            Self::Unpriced(_) => (Kind::Damaged, "unpriced"),
            Self::UnknownToken => (Kind::Unauthenticated, "unknown_token"),
            Self::WrongRole(_) => (Kind::Forbidden, "wrong_role"),
            Self::ForeignBoot(_) => (Kind::Forbidden, "foreign_boot"),
            Self::Unavailable(_) => (Kind::Unavailable, "unavailable"),
            Self::Damaged(_) => (Kind::Damaged, "damaged"),
        }
    }
}
