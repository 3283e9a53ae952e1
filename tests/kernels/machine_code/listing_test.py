"""The reader of machine code reads right, and the bounds refuse what is beyond them: on a few lines of a listing, without nvcc."""
import re

import machine_code_test as bounds
import sass
import toolkit

# A loop that loads two packs, stores one, and has a dear way round it; another loop inside; a load whose register is read at once.
LISTING = """
	.section	.text._Z4drawv,"ax",@progbits
.text._Z4drawv:
_Z4drawv:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/                   S2R R0, SR_TID.X ;
        /*0020*/               @P0 EXIT ;
.L_x_1:
        /*0030*/                   LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
        /*0040*/                   LDG.E.128 R8, desc[UR4][R2.64+0x10] ;
        /*0050*/                   BSSY B0, `(.L_x_2) ;
        /*0060*/              @!P1 BRA `(.L_x_3) ;
        /*0070*/                   IADD3 R20, R20, 0x1, RZ ;
.L_x_4:
        /*0080*/                   ATOMS.CAST.SPIN R22, [R21], R22, R23 ;
        /*0090*/              @!P2 BRA `(.L_x_4) ;
.L_x_3:
        /*00a0*/                   BSYNC B0 ;
.L_x_2:
        /*00b0*/                   LDS.128 R12, [R20] ;
        /*00c0*/                   IADD3 R16, R4, R6, RZ ;
        /*00d0*/                   LDG.E.128 R24, desc[UR4][R2.64+0x20] ;
        /*00e0*/                   STG.E.128 desc[UR4][R2.64], R8 ;
        /*00f0*/               @P3 BRA `(.L_x_1) ;
        /*0100*/                   RED.E.ADD.STRONG.GPU desc[UR4][R2.64], R24 ;
        /*0110*/                   EXIT ;
.L_x_5:
        /*0120*/                   BRA `(.L_x_5);
        /*0130*/                   NOP;
.L_x_6:


//--------------------- .nv.shared --------------------------
	.section	.nv.info._Z4drawv,"",@"SHT_CUDA_INFO"
"""
# The store stands twice in the loop, by hand or by the compiler.
UNROLLED = """
	.section	.text.twice,"ax",@progbits
.L_x_1:
        /*0000*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0010*/                   STG.E.128 desc[UR4][R2.64], R8 ;
        /*0020*/              @!P0 BRA `(.L_x_2) ;
        /*0030*/                   LDG.E.128 R8, desc[UR4][R2.64] ;
        /*0040*/                   STG.E.128 desc[UR4][R2.64], R4 ;
        /*0050*/                   BRA `(.L_x_1) ;
.L_x_2:
        /*0060*/                   EXIT ;
"""
REPORT = """
ptxas info    : Compiling entry function '_Z4drawv' for 'sm_90'
ptxas info    : Function properties for _Z4drawv
    8 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 72 registers, used 1 barriers, 2048 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function '_Z4nonev' for 'sm_90'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 0 barriers
"""
wrong = []


def expect(got, want, what: str) -> None:
    if got != want:
        wrong.append(f"{what}: {got}, expected {want}")


kernel = sass.parse(LISTING)["_Z4drawv"]
expect(len(kernel.instructions), 19, "instructions without what fills the last line")
expect(len(kernel.blocks), 8, "blocks")
expect(kernel.plain_path(r"^STG\.E\.128"), 10, "past the dear way")
expect(kernel.plain_path(r"^STG\.E\.128", r"^ATOMS"), 13, "the dear way")
expect(kernel.plain_path(r"^ATOMS"), 2, "the loop inside")
expect(kernel.plain_path(r"^STL"), None, "no such store")
expect(kernel.plain_path(r"^STG\.E\.128", r"^RED"), None, "what is behind the loop is on no way round it")
# The third is issued when the first was read; round the loop it is still under way.
expect(kernel.loads_in_flight(), 3, "loads in flight")
expect(kernel.loads_in_flight(re.compile(r"LDS")), 1, "another kind of load")
expect(kernel.atomics(), ["ATOMS.CAST.SPIN", "RED.E.ADD.STRONG.GPU"], "atomics")
expect(sass.parse(UNROLLED)["twice"].plain_path(r"^STG\.E\.128"), 3, "the longer of two parts")
expect(sass.parse(UNROLLED)["twice"].loads_in_flight(), 2, "one is read while the other is under way")

expect(toolkit.resources(REPORT), {"_Z4drawv": {"registers": 72, "spill_bytes": 12, "shared_bytes": 2048},
                                   "_Z4nonev": {"registers": 10, "spill_bytes": 0, "shared_bytes": 0}}, "the compiler's report")
expect(toolkit.short_name("void gaze::kernels::cuda::(anonymous namespace)::score_keys<(gaze::kernels::DType)2, -1, true>(gaze::Call<32>, long)"),
       "score_keys<2, -1, true>", "a template's name")
expect(toolkit.short_name("gaze::kernels::cuda::(anonymous namespace)::find_range(gaze::kernels::NormaliseParams)"), "find_range", "a name")

# Registers are given to warps by 256: of 73 a thread has 80, of 85 it has 88.
for registers, shared_bytes, threads, blocks in ((104, 2048, 256, 2), (80, 10240, 256, 3), (85, 0, 256, 2), (73, 0, 128, 6), (16, 0, 1024, 2), (16, 0, 32, 32),
                                                 (32, 100 * 1024, 128, 2), (32, 48 * 1024, 128, 4)):
    expect(bounds.blocks_per_sm(registers, shared_bytes, threads), blocks, f"blocks of {threads} threads, {registers} registers, {shared_bytes} bytes")

figures = {"draw<16>": {"registers": 72, "plain_path": 147, "atomics": ["ATOMS.CAST.SPIN", "ATOMS.ADD"]}, "none": {"registers": 10, "plain_path": None, "atomics": []}}
for bound, count in ((("draw<16>", "plain_path", "<=", 147), 0), (("draw<16>", "plain_path", "<=", 146), 1), (("draw<.*>", "registers", ">=", 73), 1),
                     ((".*", "registers", "<=", 9), 2), (("draw<16>", "atomics", "lacks", "CAS"), 1), (("draw<16>", "atomics", "lacks", r"\.64"), 0),
                     (("none", "plain_path", "<=", 1000), 1), (("draw", "registers", "<=", 255), 1)):
    expect(len(bounds.problems_with(figures, [bound], True)), count, f"problems of {bound}")
expect(bounds.problems_with(figures, [("renamed", "registers", "<=", 255)], False), [], "a bound of a source that was not looked at")

print(f"{len(wrong)} problems", *wrong, sep="\n")
raise SystemExit(bool(wrong))
