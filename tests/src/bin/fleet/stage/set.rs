//! What a run's stage is like: its catalog, and how its gateways are made.

/// What a run's stage is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set {
    pub(super) catalog: &'static str,
    /// Gateways reach the host through a proxy that can eat answers.
    pub(super) proxy: bool,
    pub(super) filter: Filter,
    /// Envoy answers what the filter lets through, and no API is asked.
    pub(super) direct: bool,
}

/// The filter that a gateway loads, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filter {
    /// As it is released.
    Released,
    /// The same, in a file of listeners that may change.
    Changing,
    /// Built with faults, and told to make this one; none of them if empty.
    Faulty(&'static str),
}

impl Set {
    /// The plainest, with this catalog.
    pub(crate) const fn of(catalog: &'static str) -> Self {
        Self { catalog, proxy: false, filter: Filter::Released, direct: false }
    }

    /// With a proxy between gateways and host.
    pub(crate) const fn behind_proxy(self) -> Self {
        Self { proxy: true, ..self }
    }

    /// Without an API to ask.
    pub(crate) const fn answered_by_envoy(self) -> Self {
        Self { direct: true, ..self }
    }

    pub(crate) const fn wants_faults(self) -> bool {
        matches!(self.filter, Filter::Faulty(_))
    }

    /// With this filter.
    pub(crate) const fn with(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }
}
