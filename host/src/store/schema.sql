-- Times are unix milliseconds, counts are calls or units, money is minor units of a currency.
-- Only what is said to change does: states, counters, cursors, how far things are. Nothing but old
-- batches is deleted.

CREATE TABLE ledger (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    id           BLOB    NOT NULL CHECK (length(id) = 16),
    epoch        INTEGER NOT NULL,
    secret_check BLOB    NOT NULL CHECK (length(secret_check) = 32),
    -- Of the last change of a subscription or key; each change takes the next.
    revision     INTEGER NOT NULL,
    -- When it was last restored from a backup.
    restored_ms  INTEGER,
    -- When a gateway was first heard after that, and when an operator ended the wait for them.
    heard_ms     INTEGER,
    released_ms  INTEGER,
    -- Reports that contradict the ledger, past those that are kept.
    unkept_conflicts INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE catalogs (
    revision  INTEGER PRIMARY KEY,
    loaded_ms INTEGER NOT NULL,
    text      TEXT    NOT NULL
) STRICT;

CREATE TABLE gateways (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL UNIQUE,
    token_hash BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 16),
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE boots (
    boot             BLOB    PRIMARY KEY CHECK (length(boot) = 16),
    gateway          INTEGER NOT NULL REFERENCES gateways (id),
    -- Both 0 of a process that never synced, and is known by what it wrote into its log.
    first_seen_ms    INTEGER NOT NULL,
    last_seen_ms     INTEGER NOT NULL,
    swept_through_ms INTEGER NOT NULL,
    -- When an operator declared it dead: what it holds is given to others.
    forgotten_ms     INTEGER,
    -- Whether a restored ledger waits for its report of everything.
    awaited          INTEGER NOT NULL DEFAULT 0 CHECK (awaited IN (0, 1)),
    -- When it was seen to have ended.
    ended_ms         INTEGER,
    -- When it ended with all its usage in this ledger, by a drain's word or by the last line it
    -- wrote into its log. Void if it synced or wrote others later.
    accounted_ms     INTEGER,
    -- When it wrote the newest of its other lines that came here, by its word.
    spilled_ms       INTEGER NOT NULL DEFAULT 0,
    -- A revision that it said it knew, and when it said so; and the newest such that it knew before
    -- it began a sweep that was completed.
    told_revision    INTEGER NOT NULL DEFAULT 0,
    told_ms          INTEGER NOT NULL DEFAULT 0,
    swept_revision   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX boots_by_sight ON boots (last_seen_ms, gateway, swept_through_ms);
CREATE INDEX boots_by_gateway ON boots (gateway, last_seen_ms);
CREATE INDEX boots_awaited ON boots (boot) WHERE awaited = 1;

CREATE TABLE subscriptions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    product     TEXT    NOT NULL,
    consumer    TEXT    NOT NULL,
    name        TEXT,
    state       TEXT    NOT NULL CHECK (state IN (
                    'submitted', 'active', 'suspended', 'cancelled', 'expired', 'rejected')),
    created_ms  INTEGER NOT NULL,
    -- Its making; from its approval on, that.
    anchor_ms   INTEGER NOT NULL,
    -- When it ends by itself.
    expires_ms  INTEGER,
    ended_ms    INTEGER CHECK (
                    (ended_ms IS NOT NULL) = (state IN ('cancelled', 'expired', 'rejected'))),
    -- Gateways admit it only under this catalog or a later one.
    catalog     INTEGER NOT NULL REFERENCES catalogs (revision),
    revision    INTEGER NOT NULL UNIQUE,
    -- The newest of its periods, and that period's end; 0 and the anchor before the first.
    last_period INTEGER NOT NULL,
    covered_ms  INTEGER NOT NULL
) STRICT;

CREATE INDEX subscriptions_by_product ON subscriptions (product) WHERE ended_ms IS NULL;
CREATE INDEX subscriptions_by_cover ON subscriptions (covered_ms)
    WHERE ended_ms IS NULL AND state <> 'submitted';
CREATE INDEX subscriptions_by_expiry ON subscriptions (expires_ms)
    WHERE ended_ms IS NULL AND expires_ms IS NOT NULL;

CREATE TABLE keys (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 16),
    -- Whether its owner brought it.
    imported     INTEGER NOT NULL CHECK (imported IN (0, 1)),
    created_ms   INTEGER NOT NULL,
    -- When it is revoked by itself, because another takes its place.
    retires_ms   INTEGER,
    revoked_ms   INTEGER,
    revision     INTEGER NOT NULL UNIQUE
) STRICT;

CREATE INDEX keys_by_subscription ON keys (subscription);
CREATE INDEX keys_retiring ON keys (retires_ms)
    WHERE revoked_ms IS NULL AND retires_ms IS NOT NULL;

CREATE TABLE overrides (
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    limit_id     TEXT    NOT NULL,
    tag          INTEGER NOT NULL,
    units        INTEGER NOT NULL CHECK (units > 0),
    burst        INTEGER CHECK (burst > 0),
    PRIMARY KEY (subscription, tag)
) STRICT, WITHOUT ROWID;

-- A billing period that gateways were told of, or that ended. Priced by its product in its
-- catalog.
CREATE TABLE periods (
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    number       INTEGER NOT NULL,
    start_ms     INTEGER NOT NULL,
    end_ms       INTEGER NOT NULL CHECK (end_ms > start_ms),
    product      TEXT    NOT NULL,
    catalog      INTEGER NOT NULL REFERENCES catalogs (revision),
    -- When it was billed; when its subscription ended, if it had not begun then.
    closed_ms    INTEGER,
    -- Calls on invoices so far.
    billed       INTEGER NOT NULL DEFAULT 0,
    -- Whether billable calls came after the close.
    late         INTEGER NOT NULL DEFAULT 0 CHECK (late IN (0, 1)),
    PRIMARY KEY (subscription, number),
    CHECK (late = 0 OR closed_ms IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX periods_open ON periods (end_ms) WHERE closed_ms IS NULL;
CREATE INDEX periods_open_of ON periods (subscription, number) WHERE closed_ms IS NULL;
CREATE INDEX periods_late ON periods (subscription) WHERE late = 1;

-- Counters of one process for one billing period; they merge by max. A call that settles after its
-- slot was dropped by the process is counted in a later slot, whose `admitted` does not have it.
CREATE TABLE slots (
    boot         BLOB    NOT NULL REFERENCES boots (boot),
    subscription INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    period       INTEGER NOT NULL,
    admitted     INTEGER NOT NULL CHECK (admitted >= 0),
    billable     INTEGER NOT NULL CHECK (billable >= 0),
    waived       INTEGER NOT NULL CHECK (waived >= 0),
    -- What the billable ones took of each meter: JSON pairs of a meter's tag and units, as sent.
    meters       TEXT    NOT NULL,
    PRIMARY KEY (boot, subscription, number),
    FOREIGN KEY (subscription, period) REFERENCES periods (subscription, number)
) STRICT, WITHOUT ROWID;

-- Of one process among all that ever counted in the period, too: each report of a slot asks.
CREATE INDEX slots_by_period ON slots (subscription, period, boot, admitted, billable, waived);

-- Slots of subscriptions or periods that this ledger never had, as after a restore from an old
-- backup. They are billed to nobody; one that finds its period after all moves to `slots`.
CREATE TABLE unattributed (
    id           INTEGER PRIMARY KEY,
    boot         BLOB    NOT NULL REFERENCES boots (boot),
    subscription INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    period       INTEGER NOT NULL,
    admitted     INTEGER NOT NULL CHECK (admitted >= 0),
    billable     INTEGER NOT NULL CHECK (billable >= 0),
    waived       INTEGER NOT NULL CHECK (waived >= 0),
    meters       TEXT    NOT NULL,
    first_ms     INTEGER NOT NULL,
    UNIQUE (boot, subscription, number)
) STRICT;

-- Units of a limit given to one process: of a quota's period, or of a rate over the fleet (period
-- 0). What is out is the larger of granted - returned and used - waived; over all processes it
-- never grows past the limit by a grant.
CREATE TABLE leases (
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    tag          INTEGER NOT NULL,
    period       INTEGER NOT NULL,
    boot         BLOB    NOT NULL REFERENCES boots (boot),
    granted      INTEGER NOT NULL,
    used         INTEGER NOT NULL,
    waived       INTEGER NOT NULL CHECK (waived BETWEEN 0 AND used),
    returned     INTEGER NOT NULL CHECK (returned BETWEEN 0 AND granted),
    -- What was used when counters were reported beside it; asks for units tell of later calls.
    counted      INTEGER NOT NULL DEFAULT 0 CHECK (counted BETWEEN 0 AND used),
    -- What the process is called to return: 0 nothing, 1 what it can spare, 2 all.
    recall       INTEGER NOT NULL DEFAULT 0 CHECK (recall IN (0, 1, 2)),
    -- When it last asked for units.
    asked_ms     INTEGER NOT NULL,
    -- Of a rate: when its units can be spent no more.
    expires_ms   INTEGER NOT NULL,
    PRIMARY KEY (subscription, tag, period, boot)
) STRICT, WITHOUT ROWID;

-- Of a process only those of which it holds units: most are of periods that are over.
CREATE INDEX leases_held ON leases (boot, subscription, tag, period)
    WHERE granted - returned > used - waived;
CREATE INDEX leases_recalled ON leases (boot) WHERE recall > 0;

-- Units of a sliding window over the fleet that were spent, not later than `at_ms`.
CREATE TABLE spent (
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    tag          INTEGER NOT NULL,
    at_ms        INTEGER NOT NULL,
    units        INTEGER NOT NULL CHECK (units > 0),
    PRIMARY KEY (subscription, tag, at_ms)
) STRICT, WITHOUT ROWID;

-- What is in the token buckets over the fleet.
CREATE TABLE buckets (
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    tag          INTEGER NOT NULL,
    -- In parts of a token: one is as many as the gain's period has milliseconds.
    level        INTEGER NOT NULL CHECK (level >= 0),
    period_ms    INTEGER NOT NULL CHECK (period_ms > 0),
    filled_ms    INTEGER NOT NULL,
    PRIMARY KEY (subscription, tag)
) STRICT, WITHOUT ROWID;

-- How far the rows of one VM's life have come.
CREATE TABLE incarnations (
    boot        BLOB    NOT NULL REFERENCES boots (boot),
    incarnation BLOB    NOT NULL CHECK (length(incarnation) = 16),
    last        INTEGER NOT NULL,
    -- Batches before `last` that never came.
    missing     INTEGER NOT NULL,
    PRIMARY KEY (boot, incarnation)
) STRICT, WITHOUT ROWID;

-- The newest batches of each incarnation, to tell one that is sent again from another.
CREATE TABLE batches (
    boot        BLOB    NOT NULL,
    incarnation BLOB    NOT NULL,
    sequence    INTEGER NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 16),
    PRIMARY KEY (boot, incarnation, sequence),
    FOREIGN KEY (boot, incarnation) REFERENCES incarnations (boot, incarnation)
) STRICT, WITHOUT ROWID;

-- Descriptive rows, added up. They describe, and nothing is billed from them, so that they may
-- name what this ledger does not know.
CREATE TABLE calls (
    subscription INTEGER,
    -- In whose counters they are; 0 of calls that were not admitted.
    period       INTEGER NOT NULL,
    minute       INTEGER NOT NULL,
    api          TEXT,
    operation    TEXT,
    status       INTEGER NOT NULL,
    outcome      TEXT    NOT NULL CHECK (outcome IN ('billable', 'waived', 'open', 'refused')),
    reason       TEXT    CHECK ((reason IS NOT NULL) = (outcome = 'refused')),
    -- Why a limit or a gateway that only observes would have refused them.
    would_refuse TEXT    CHECK (would_refuse IS NULL OR outcome <> 'refused'),
    calls        INTEGER NOT NULL,
    latency_us   INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    units        INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX calls_alike ON calls (
    coalesce(subscription, 0), minute, outcome, period, coalesce(reason, ''),
    coalesce(api, ''), coalesce(operation, ''), status, coalesce(would_refuse, '')
);

-- The same calls by country and hour, where the country is known.
CREATE TABLE places (
    subscription INTEGER,
    hour         INTEGER NOT NULL,
    country      TEXT    NOT NULL CHECK (length(country) = 2),
    status       INTEGER NOT NULL,
    outcome      TEXT    NOT NULL CHECK (outcome IN ('billable', 'waived', 'open', 'refused')),
    reason       TEXT    CHECK ((reason IS NOT NULL) = (outcome = 'refused')),
    calls        INTEGER NOT NULL,
    latency_us   INTEGER NOT NULL,
    bytes        INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX places_alike ON places (
    coalesce(subscription, 0), hour, country, outcome, coalesce(reason, ''), status
);

-- How long calls took that went on to the API, by hour.
CREATE TABLE latencies (
    subscription INTEGER,
    api          TEXT,
    operation    TEXT,
    hour         INTEGER NOT NULL,
    min_us       INTEGER NOT NULL,
    max_us       INTEGER NOT NULL CHECK (min_us <= max_us),
    -- JSON pairs of a step and its count, as sent.
    histogram    TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX latencies_alike ON latencies (
    coalesce(subscription, 0), hour, coalesce(api, ''), coalesce(operation, '')
);

-- Reports that contradict the ledger, kept aside for somebody to look at.
CREATE TABLE conflicts (
    -- Without gaps, so that the newest tells how many there are.
    id       INTEGER PRIMARY KEY,
    -- Of what was reported, so that a report that is sent again is one.
    hash     BLOB    NOT NULL UNIQUE,
    boot     BLOB    NOT NULL REFERENCES boots (boot),
    seen_ms  INTEGER NOT NULL,
    problem  TEXT    NOT NULL,
    reported TEXT    NOT NULL
) STRICT;

CREATE INDEX conflicts_by_boot ON conflicts (boot);

CREATE TABLE invoices (
    year         INTEGER NOT NULL,
    -- From 1 in each year, without gaps.
    place        INTEGER NOT NULL CHECK (place > 0),
    subscription INTEGER NOT NULL,
    period       INTEGER NOT NULL,
    -- Only what came late for an ended subscription, which has no next invoice.
    correction   INTEGER NOT NULL CHECK (correction IN (0, 1)),
    product      TEXT    NOT NULL,
    consumer     TEXT    NOT NULL,
    issued_ms    INTEGER NOT NULL,
    calls        INTEGER NOT NULL,
    total_minor  INTEGER NOT NULL,
    currency     TEXT    NOT NULL,
    PRIMARY KEY (year, place),
    FOREIGN KEY (subscription, period) REFERENCES periods (subscription, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX invoices_once ON invoices (subscription, period) WHERE correction = 0;

CREATE TABLE invoice_lines (
    year         INTEGER NOT NULL,
    place        INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    adjusts      INTEGER,
    description  TEXT    NOT NULL,
    calls        INTEGER NOT NULL,
    quantity     INTEGER NOT NULL,
    unit_price   TEXT    NOT NULL,
    amount_minor INTEGER NOT NULL,
    PRIMARY KEY (year, place, position),
    FOREIGN KEY (year, place) REFERENCES invoices (year, place)
) STRICT, WITHOUT ROWID;

-- The outbox: one charge an invoice, and others only after it was rejected.
CREATE TABLE charges (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    year            INTEGER NOT NULL,
    place           INTEGER NOT NULL,
    -- A part of the idempotency key: a charge that is known to have failed may get another one.
    revision        INTEGER NOT NULL,
    idempotency_key TEXT    NOT NULL UNIQUE,
    state           TEXT    NOT NULL
                    CHECK (state IN ('pending', 'in_flight', 'accepted', 'rejected')),
    -- The provider's reference, or why it refused.
    said            TEXT    CHECK ((said IS NOT NULL) = (state IN ('accepted', 'rejected'))),
    attempts        INTEGER NOT NULL,
    -- When it may first have reached the provider, which forgets idempotency keys after a while.
    first_attempt_ms INTEGER CHECK ((first_attempt_ms IS NOT NULL) = (attempts > 0)),
    -- When it is sent (again), until it is settled.
    due_ms          INTEGER NOT NULL,
    UNIQUE (year, place, revision),
    FOREIGN KEY (year, place) REFERENCES invoices (year, place)
) STRICT;

CREATE UNIQUE INDEX charges_once ON charges (year, place) WHERE state <> 'rejected';
CREATE INDEX charges_due ON charges (due_ms) WHERE state IN ('pending', 'in_flight');
CREATE INDEX charges_rejected ON charges (id) WHERE state = 'rejected';
