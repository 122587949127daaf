//! Checks of the blob's machine code: the user's vector state is in the registers while the kernel runs, and under
//! PVM every kernel instruction goes through KVM's emulator, which knows only some.

use super::{Findings, objdump_ready};
use crate::{build, process};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::process::Command;

/// Where an instruction that is otherwise refused may stand.
struct Exception {
    /// Mnemonics that begin so.
    instruction: &'static str,
    /// In functions whose demangled name contains this.
    within: &'static str,
    /// Why that is sound.
    #[expect(dead_code, reason = "for the reader of the table")]
    reason: &'static str,
}

const fn may(instruction: &'static str, within: &'static str, reason: &'static str) -> Exception {
    Exception { instruction, within, reason }
}

const EXCEPTIONS: &[Exception] = &[
    may("", "quirk", "chosen by the self-test at boot"),
    may("fxsave", "", "emulated, and touches no register"),
    may("fxrstor", "", "emulated, and is the switch of the user's state"),
    may("xsave", "ring0::", "only where CPUID offers XSAVE, which PVM does not"),
    may("xrstor", "ring0::", "only where CPUID offers XSAVE, which PVM does not"),
    may("xgetbv", "ring0::", "only where CPUID offers XSAVE, which PVM does not"),
    may("stac", "ring0::", "only where CPUID offers SMAP, which PVM does not"),
    may("clac", "ring0::", "only where CPUID offers SMAP, which PVM does not"),
    may("fninit", "ring0::", "makes the state a new task begins with"),
    may("ldmxcsr", "ring0::", "makes the state a new task begins with"),
];

/// The formatting of a panic message may use what it likes: no user runs after it.
const PANIC_PATH: &[&str] = &["core::fmt", "core::panicking", "rust_begin_unwind", "ring0::panic"];

/// Not in KVM's emulator, so not for ring 0 under PVM.
const UNEMULATED: &[&str] = &[
    "popcnt",
    "lzcnt",
    "cmpxchg16b",
    "rdtscp",
    "rdpid",
    "crc32",
    "stac",
    "clac",
    "xgetbv",
    "xsave",
    "xrstor",
    "ldmxcsr",
    "stmxcsr",
    "invpcid",
    "verw",
    "verr",
    "lsl",
    "lar",
    "andn",
    "bextr",
    "blsi",
    "blsr",
    "blsmsk",
    "bzhi",
    "pdep",
    "pext",
    "mulx",
    "rorx",
    "sarx",
    "shlx",
    "shrx",
    "adcx",
    "adox",
    "rdrand",
    "rdseed",
    "sha1",
    "sha256",
    "aes",
    "pclmul",
];

/// In the emulator or not depending on the kernel: said, not refused.
const DOUBTFUL: &[&str] = &["mfence", "lfence", "sfence", "clflush", "clwb", "prefetch", "pause"];

/// No xmm, ymm, zmm, mmx or x87 outside the panic path.
pub fn no_vector_code() -> Result<Findings> {
    let code = disassemble()?;
    Ok(listed(code.iter().filter(|at| at.uses_vectors() && !at.is_excepted() && !at.is_in_panic_path())))
}

/// No instruction that KVM's emulator lacks.
pub fn nothing_unemulated() -> Result<Findings> {
    let code = disassemble()?;
    let mut doubtful = BTreeMap::new();
    for at in code.iter().filter(|at| at.is_one_of(DOUBTFUL)) {
        *doubtful.entry(at.mnemonic.as_str()).or_insert(0) += 1;
    }
    if !doubtful.is_empty() {
        println!("NOTE of doubtful emulation under PVM: {doubtful:?}");
    }
    Ok(listed(code.iter().filter(|at| at.is_one_of(UNEMULATED) && !at.is_excepted() && !at.is_in_panic_path())))
}

/// One line a function and instruction.
fn listed<'a>(code: impl Iterator<Item = &'a Instruction>) -> Findings {
    let mut counts = BTreeMap::new();
    for at in code {
        *counts.entry((at.function.as_str(), at.mnemonic.as_str())).or_insert(0) += 1;
    }
    counts.into_iter().map(|((function, mnemonic), count)| format!("{mnemonic} ({count}) in {function}")).collect()
}

struct Instruction {
    function: String,
    mnemonic: String,
    operands: String,
}

impl Instruction {
    fn uses_vectors(&self) -> bool {
        let registers = ["%xmm", "%ymm", "%zmm", "%mm", "%st"];
        let x87 = self.mnemonic.starts_with('f') || self.mnemonic == "emms";
        x87 || self.is_one_of(&["ldmxcsr", "stmxcsr"]) || registers.iter().any(|name| self.operands.contains(name))
    }

    fn is_one_of(&self, mnemonics: &[&str]) -> bool {
        mnemonics.iter().any(|name| self.mnemonic.starts_with(name))
    }

    fn is_excepted(&self) -> bool {
        EXCEPTIONS.iter().any(|may| self.mnemonic.starts_with(may.instruction) && self.function.contains(may.within))
    }

    fn is_in_panic_path(&self) -> bool {
        PANIC_PATH.iter().any(|name| self.function.contains(name))
    }
}

fn disassemble() -> Result<Vec<Instruction>> {
    objdump_ready()?;
    let elf = build::blob(build::Profile::Release)?;
    let mut objdump = Command::new("objdump");
    let text = process::output(objdump.args(["-d", "-C", "--no-show-raw-insn", "--wide"]).arg(&elf))?;
    let code = parse(&String::from_utf8_lossy(&text));
    if code.is_empty() {
        bail!("{} has no code", elf.display());
    }
    Ok(code)
}

/// Reads `address <function>:` and `address:<tab>mnemonic operands` lines.
fn parse(text: &str) -> Vec<Instruction> {
    let mut function = String::new();
    let mut code = Vec::new();
    for line in text.lines() {
        if let Some((_, name)) = line.split_once(" <")
            && let Some(name) = name.strip_suffix(">:")
        {
            name.clone_into(&mut function);
        } else if let Some((_, instruction)) = line.split_once(":\t") {
            let mut words = instruction.split_whitespace().skip_while(|word| PREFIXES.contains(word));
            let Some(mnemonic) = words.next() else { continue };
            code.push(Instruction {
                function: function.clone(),
                mnemonic: mnemonic.to_owned(),
                operands: words.collect::<Vec<_>>().join(" "),
            });
        }
    }
    code
}

const PREFIXES: &[&str] = &["lock", "rep", "repz", "repnz", "data16", "cs", "ds", "es", "fs", "gs", "notrack", "rex.W"];

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_disassembly_yields_functions_and_mnemonics() {
        let code = parse(concat!(
            "ffffffff80000000 <sentry::run>:\n",
            "ffffffff80000000:\tlock cmpxchg16b (%rdi)\n",
            "ffffffff80000005:\tmovups %xmm0,(%rax)\n",
            "ffffffff80000008:\tfxsave64 (%rdi)\n",
        ));
        assert_eq!(code.len(), 3);
        assert!(code.iter().all(|at| at.function == "sentry::run"));
        assert_eq!(code[0].mnemonic, "cmpxchg16b");
        assert!(!code[0].uses_vectors() && code[1].uses_vectors());
        assert!(code[2].is_excepted() && !code[1].is_excepted());
    }

    #[test]
    fn fpu_instructions_are_excepted_only_where_the_state_is_switched() {
        let code = parse("1 <ring0::sched::switch>:\n1:\txsave64 (%rdi)\n2 <sentry::x>:\n2:\txsave64 (%rdi)\n");
        assert!(code[0].is_excepted());
        assert!(!code[1].is_excepted());
    }
}
