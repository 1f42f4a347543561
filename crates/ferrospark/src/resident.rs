//! Gives pages of the program's file back that this process needed only while it started. The file has everything in one,
//! a hundred megabytes; the dynamic linker reads the tables by which it puts addresses in, and the start touches
//! much code, all of which counts as memory of the process from then on. It is the file's: what is given back and
//! needed again comes from the system's cache, a few microseconds a time.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::time::Duration;

/// A daemon has done everything that it does only once.
const SETTLED: Duration = Duration::from_secs(5);

/// Gives the linker's tables back, which nobody reads again: four megabytes.
pub(crate) fn give_back_linker_tables() {
    let program = program();
    let tables = program.linker_tables;
    // Only where nothing is ever written: there all is as in the file.
    if program.constant.iter().any(|part| part.start <= tables.start && tables.end <= part.end) {
        give_back(&tables);
    }
}

/// Gives all code and constants back once a daemon has settled; what it works with returns at once.
pub(crate) fn give_back_when_settled() {
    tokio::spawn(async {
        tokio::time::sleep(SETTLED).await;
        program().constant.iter().for_each(give_back);
    });
}

/// Where the program's file is in memory.
#[derive(Debug, Default)]
struct Program {
    /// Parts that cannot be written to, and so are as in the file.
    constant: Vec<Range<usize>>,
    linker_tables: Range<usize>,
}

fn program() -> Program {
    let mut program = Program::default();
    #[expect(unsafe_code, reason = "the C library alone knows where the program is")]
    // SAFETY: the callback takes what is handed in here, and is called before this returns only.
    unsafe {
        libc::dl_iterate_phdr(Some(note), (&raw mut program).cast());
    }
    program
}

/// Notes where the program is; it comes before its libraries.
#[expect(unsafe_code, reason = "a callback of the C library, which hands pointers in")]
unsafe extern "C" fn note(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
    const RELA: i64 = 7;
    const RELA_BYTES: i64 = 8;
    // SAFETY: the library's description is valid during the call, and `data` is what was handed to it.
    let (info, program) = unsafe { (&*info, &mut *data.cast::<Program>()) };
    let base = usize::try_from(info.dlpi_addr).unwrap_or_default();
    // SAFETY: the headers are part of the program and stay.
    let headers =
        unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    for header in headers {
        let begin = base + usize::try_from(header.p_vaddr).unwrap_or_default();
        if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0 {
            let bytes = usize::try_from(header.p_filesz).unwrap_or_default();
            program.constant.push(begin..begin + bytes);
        }
        if header.p_type == libc::PT_DYNAMIC {
            let mut entry = begin as *const [i64; 2];
            let (mut tables, mut bytes) = (0, 0);
            loop {
                // SAFETY: entries follow each other up to one whose tag is zero, in memory that stays.
                let [tag, value] = unsafe { *entry };
                if tag == 0 {
                    break;
                }
                let value = usize::try_from(value).unwrap_or_default();
                match tag {
                    // Some libraries add the base here, some do not.
                    RELA => tables = if value < base { base + value } else { value },
                    RELA_BYTES => bytes = value,
                    _ => {}
                }
                // SAFETY: this was not the last.
                entry = unsafe { entry.add(1) };
            }
            program.linker_tables = tables..tables + bytes;
        }
    }
    1
}

/// Gives back the whole pages of a part of the file that was never written to.
fn give_back(part: &Range<usize>) {
    #[expect(unsafe_code, reason = "the C library's own")]
    // SAFETY: it only looks a number up.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let (begin, end) = (part.start.next_multiple_of(page), part.end / page * page);
    if begin < end {
        #[expect(unsafe_code, reason = "there is no other way to tell the system")]
        // SAFETY: the pages are mapped from the file and not changed since, so that they read the same afterwards.
        let given =
            unsafe { libc::madvise(begin as *mut c_void, end - begin, libc::MADV_DONTNEED) };
        tracing::debug!(kilobytes = (end - begin) / 1024, given, "pages of the program given back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kilobytes of these parts that are memory of this process.
    fn resident(parts: &[Range<usize>]) -> usize {
        let mut sum = 0;
        let mut within = false;
        for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
            if let Some(rest) = line.strip_prefix("Rss:") {
                let kilobytes: usize = rest.trim().trim_end_matches(" kB").parse().unwrap();
                sum += if within { kilobytes } else { 0 };
            } else if let Some((begin, _)) = line.split_once('-')
                && let Ok(begin) = usize::from_str_radix(begin, 16)
            {
                within = parts.iter().any(|part| part.start / 4096 * 4096 == begin);
            }
        }
        sum
    }

    #[test]
    fn the_program_goes_on_with_less_memory() {
        let program = program();
        let here = resident as *const () as usize;
        assert!(program.constant.iter().any(|part| part.contains(&here)), "{program:?} {here:x}");
        let tables = &program.linker_tables;
        assert!(tables.len() > 1000, "{program:?}");
        assert!(program.constant.iter().any(|part| part.contains(&tables.start)), "{program:?}");
        // Reads every page.
        let sum = |part: &Range<usize>| -> u64 {
            part.clone()
                .step_by(4096)
                .map(|at| {
                    #[expect(unsafe_code, reason = "any address of the program")]
                    // SAFETY: the part is mapped and can be read.
                    unsafe {
                        u64::from(*(at as *const u8))
                    }
                })
                .sum()
        };
        let whole: Vec<u64> = program.constant.iter().map(sum).collect();
        let before = resident(&program.constant);
        give_back_linker_tables();
        program.constant.iter().for_each(give_back);
        let after = resident(&program.constant);
        // Some of it was needed at once, to tell.
        assert!(after < before / 2, "{before} kB, then {after} kB");
        assert_eq!(program.constant.iter().map(sum).collect::<Vec<_>>(), whole);
    }
}
