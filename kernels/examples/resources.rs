//! Prints the registers, shared memory and spills of every kernel, as the assembler reported them when this was built with nvcc.
//! Ends with status 1 where a kernel spills more than a little, or where there was no nvcc.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::process::ExitCode;

use lacuna_kernels::resources;

/// Bytes that a thread may spill, stores and loads together. More slows down what is bound by memory.
const SPILLED_BYTES_MAX: u32 = 0;

fn main() -> ExitCode {
    if resources().is_empty() {
        eprintln!("no kernels were compiled: put nvcc on the path, or name it in LACUNA_NVCC, and build again");
        return ExitCode::FAILURE;
    }
    println!("{:<8} {:<28} {:>9} {:>13} {:>13}", "card", "kernel", "registers", "static shared", "spilled bytes");
    let mut spills = false;
    for found in resources() {
        let card = format!("sm_{}", found.architecture);
        println!(
            "{card:<8} {:<28} {:>9} {:>13} {:>13}",
            found.kernel, found.registers, found.static_shared_bytes, found.spilled_bytes
        );
        spills |= found.spilled_bytes > SPILLED_BYTES_MAX;
    }
    if spills {
        eprintln!("a kernel spills registers: give it fewer blocks a multiprocessor, or less to keep");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
