//! Figures of this process from Linux's `/proc` (proc(5)); where there is no such folder there are none.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(figures) = Figures::read() else { return Ok(()) };
        let mut write = |name: &str, help: &str, metric: &dyn EncodeDyn| metric.write(&mut encoder, name, help);
        write("process_cpu_seconds", "Processor time used", &ConstCounter::new(figures.cpu_seconds))?;
        write("process_resident_memory_bytes", "Resident memory", &ConstGauge::new(figures.resident_bytes))?;
        write("process_start_time_seconds", "Start, since 1970", &ConstGauge::new(figures.start_seconds))?;
        if let Some(open) = open_files() {
            write("process_open_fds", "Open file descriptors", &ConstGauge::new(open))?;
        }
        Ok(())
    }
}

trait EncodeDyn {
    fn write(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result;
}

impl<M: EncodeMetric> EncodeDyn for M {
    fn write(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result {
        self.encode(encoder.encode_descriptor(name, help, None, self.metric_type())?)
    }
}

struct Figures {
    cpu_seconds: f64,
    resident_bytes: i64,
    start_seconds: f64,
}

impl Figures {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // the second field is the command in parentheses, and may itself hold spaces and parentheses
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // numbered as in proc_pid_stat(5), where the state after the command is the third
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let resident = fields.get(24 - 3)?.parse::<i64>().ok()?;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            resident_bytes: resident.checked_mul(i64::try_from(rustix::param::page_size()).ok()?)?,
            start_seconds: boot_seconds()? + field(22)? / ticks,
        })
    }
}

fn boot_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn open_files() -> Option<i64> {
    // the folder that is read is open as well while it is counted
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok().map(|count| count - 1)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::metrics::Registry;

    #[test]
    fn the_figures_are_of_this_process() {
        let memory = vec![1u8; 8 << 20];
        let figures = Figures::read().unwrap();
        assert!(figures.resident_bytes > memory.iter().map(|byte| i64::from(*byte)).sum::<i64>());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(figures.start_seconds > 1.6e9 && figures.start_seconds < now + 2.0);
        assert!(open_files().unwrap() >= 3);
        let text = Registry::new().encode().unwrap();
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_start_time_seconds ",
            "process_open_fds ",
        ] {
            assert!(text.contains(&format!("\n{name}")), "{name}: {text}");
        }
    }
}
