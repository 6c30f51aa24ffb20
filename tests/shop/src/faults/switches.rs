//! Which faults are on, with which value. Reading a switch costs one relaxed load.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;

/// A way to be ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Reads by user take more than half a second.
    SlowQuery,
    /// A list asks the database once per row.
    NPlusOne,
    /// All connections are held in turn.
    PoolExhaustion,
    /// Entries expire the moment they are asked for, and nobody waits for another's load.
    CacheStampede,
    /// Thousands of e-mails wait for slow workers.
    QueueBacklog,
    /// A share of requests fails.
    ErrorBurst,
    /// Memory is lost at a rate.
    HeapLeak,
    /// A bounded cache fills to its limit.
    CacheFill,
    /// Resident memory grows and what is allocated does not.
    Fragmentation,
    /// The payment provider fails.
    PaymentOutage,
}

impl Fault {
    /// Every fault, at its index.
    pub(crate) const ALL: [Self; 10] = [
        Self::SlowQuery,
        Self::NPlusOne,
        Self::PoolExhaustion,
        Self::CacheStampede,
        Self::QueueBacklog,
        Self::ErrorBurst,
        Self::HeapLeak,
        Self::CacheFill,
        Self::Fragmentation,
        Self::PaymentOutage,
    ];

    /// The name on the command line and in the admin route.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SlowQuery => "slow-query",
            Self::NPlusOne => "n-plus-one",
            Self::PoolExhaustion => "pool-exhaustion",
            Self::CacheStampede => "cache-stampede",
            Self::QueueBacklog => "queue-backlog",
            Self::ErrorBurst => "error-burst",
            Self::HeapLeak => "heap-leak",
            Self::CacheFill => "cache-fill",
            Self::Fragmentation => "fragmentation",
            Self::PaymentOutage => "payment-outage",
        }
    }

    /// What the value means, its default and its largest; `None` where a fault is only on or off.
    pub(crate) fn value(self) -> Option<FaultValue> {
        match self {
            Self::ErrorBurst => Some(FaultValue { unit: "percent of requests", default: 20, max: 100 }),
            Self::HeapLeak => Some(FaultValue { unit: "bytes per second", default: 1 << 20, max: 256 << 20 }),
            _ => None,
        }
    }
}

/// The value a fault takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FaultValue {
    /// What it counts.
    pub(crate) unit: &'static str,
    /// When none is given.
    pub(crate) default: u64,
    /// The largest that is accepted; the smallest is 1.
    pub(crate) max: u64,
}

/// A name that is no fault's, or a value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FaultError {
    /// No such fault.
    #[error(
        "there is no fault named `{0}`; there are slow-query, n-plus-one, pool-exhaustion, cache-stampede, queue-backlog, error-burst, heap-leak=BYTES_PER_SECOND, cache-fill, fragmentation and payment-outage"
    )]
    Unknown(String),
    /// A value where none belongs.
    #[error("the fault `{0}` takes no value; it is only on or off")]
    Unwanted(&'static str),
    /// Not a number, or not in the range.
    #[error("the fault `{name}` takes {unit} from 1 to {max}, not `{given}`")]
    Value {
        /// Which fault.
        name: &'static str,
        /// What its value counts.
        unit: &'static str,
        /// The largest.
        max: u64,
        /// What was given.
        given: String,
    },
}

/// A fault to begin with: `NAME` or `NAME=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FaultSetting {
    /// Which.
    pub(crate) fault: Fault,
    /// How much.
    pub(crate) value: u64,
}

impl FaultSetting {
    /// Checks a value against the fault; without one the default is taken.
    pub(crate) fn new(fault: Fault, value: Option<u64>) -> Result<Self, FaultError> {
        match (fault.value(), value) {
            (None, None) => Ok(Self { fault, value: 0 }),
            (None, Some(_)) => Err(FaultError::Unwanted(fault.name())),
            (Some(meaning), None) => Ok(Self { fault, value: meaning.default }),
            (Some(meaning), Some(value)) if (1..=meaning.max).contains(&value) => Ok(Self { fault, value }),
            (Some(meaning), Some(value)) => Err(meaning.refuse(fault, value.to_string())),
        }
    }
}

impl FaultValue {
    fn refuse(self, fault: Fault, given: String) -> FaultError {
        FaultError::Value { name: fault.name(), unit: self.unit, max: self.max, given }
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(name: &str) -> Result<Self, FaultError> {
        Self::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| FaultError::Unknown(name.to_owned()))
    }
}

impl FromStr for FaultSetting {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let fault: Fault = name.parse()?;
        let Some(given) = value else { return Self::new(fault, None) };
        match (given.parse(), fault.value()) {
            (Ok(number), _) => Self::new(fault, Some(number)),
            (Err(_), Some(meaning)) => Err(meaning.refuse(fault, given.to_owned())),
            (Err(_), None) => Err(FaultError::Unwanted(fault.name())),
        }
    }
}

/// The switches, shared by every part of the shop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<[Switch; Fault::ALL.len()]>);

#[derive(Debug, Default)]
struct Switch {
    on: AtomicBool,
    value: AtomicU64,
}

/// A switch as `GET /admin/faults` shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FaultState {
    name: &'static str,
    on: bool,
    value: Option<u64>,
    unit: Option<&'static str>,
}

impl Faults {
    /// Switches on.
    pub(crate) fn turn_on(&self, setting: FaultSetting) {
        let switch = &self.0[setting.fault as usize];
        switch.value.store(setting.value, Ordering::Relaxed);
        switch.on.store(true, Ordering::Release);
    }

    /// Switches off.
    pub(crate) fn turn_off(&self, fault: Fault) {
        self.0[fault as usize].on.store(false, Ordering::Release);
    }

    /// All switches.
    pub(crate) fn states(&self) -> Vec<FaultState> {
        Fault::ALL.into_iter().map(|fault| self.state(fault)).collect()
    }

    /// One switch.
    pub(crate) fn state(&self, fault: Fault) -> FaultState {
        let on = self.is_on(fault);
        let value = fault.value().filter(|_| on).map(|_| self.value(fault));
        FaultState { name: fault.name(), on, value, unit: fault.value().map(|value| value.unit) }
    }

    fn is_on(&self, fault: Fault) -> bool {
        self.0[fault as usize].on.load(Ordering::Acquire)
    }

    fn value(&self, fault: Fault) -> u64 {
        self.0[fault as usize].value.load(Ordering::Relaxed)
    }

    pub(crate) fn slow_query(&self) -> bool {
        self.is_on(Fault::SlowQuery)
    }

    pub(crate) fn n_plus_one(&self) -> bool {
        self.is_on(Fault::NPlusOne)
    }

    pub(crate) fn pool_exhaustion(&self) -> bool {
        self.is_on(Fault::PoolExhaustion)
    }

    pub(crate) fn cache_stampede(&self) -> bool {
        self.is_on(Fault::CacheStampede)
    }

    pub(crate) fn queue_backlog(&self) -> bool {
        self.is_on(Fault::QueueBacklog)
    }

    pub(crate) fn cache_fill(&self) -> bool {
        self.is_on(Fault::CacheFill)
    }

    pub(crate) fn fragmentation(&self) -> bool {
        self.is_on(Fault::Fragmentation)
    }

    pub(crate) fn payment_outage(&self) -> bool {
        self.is_on(Fault::PaymentOutage)
    }

    /// Percent of requests to fail.
    pub(crate) fn error_burst(&self) -> Option<u64> {
        self.is_on(Fault::ErrorBurst).then(|| self.value(Fault::ErrorBurst))
    }

    /// Bytes to lose per second.
    pub(crate) fn heap_leak(&self) -> Option<u64> {
        self.is_on(Fault::HeapLeak).then(|| self.value(Fault::HeapLeak))
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultError, FaultSetting, Faults};

    #[test]
    fn a_fault_is_read_from_its_name_and_value() {
        let parsed: FaultSetting = "heap-leak=4096".parse().unwrap();
        assert_eq!(parsed, FaultSetting { fault: Fault::HeapLeak, value: 4096 });
        let parsed: FaultSetting = "slow-query".parse().unwrap();
        assert_eq!(parsed.fault, Fault::SlowQuery);
    }

    #[test]
    fn a_wrong_fault_is_refused_with_what_would_be_right() {
        let unknown = "slow-querry".parse::<FaultSetting>().unwrap_err();
        assert!(unknown.to_string().contains("slow-query,"), "{unknown}");
        assert_eq!("cache-fill=3".parse::<FaultSetting>().unwrap_err(), FaultError::Unwanted("cache-fill"));
        let zero = "heap-leak=0".parse::<FaultSetting>().unwrap_err();
        assert!(zero.to_string().contains("bytes per second from 1 to"), "{zero}");
        let text = "heap-leak=1MB".parse::<FaultSetting>().unwrap_err();
        assert!(text.to_string().contains("`1MB`"), "{text}");
    }

    #[test]
    fn switches_are_independent_and_reversible() {
        let faults = Faults::default();
        faults.turn_on("error-burst=35".parse().unwrap());
        assert_eq!(faults.error_burst(), Some(35));
        assert!(Fault::ALL.into_iter().filter(|&fault| faults.is_on(fault)).eq([Fault::ErrorBurst]));
        faults.turn_off(Fault::ErrorBurst);
        assert_eq!(faults.error_burst(), None);
    }
}
