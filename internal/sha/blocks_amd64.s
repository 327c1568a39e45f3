#include "textflag.h"

// SHA-1 and SHA-256 with the SHA extensions. One round waits for the one before it, so a core that hashes one input is idle half of
// the time: two inputs, their instructions in turns, take hardly longer than one.

DATA flip1<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA flip1<>+8(SB)/8, $0x0001020304050607
GLOBL flip1<>(SB), RODATA|NOPTR, $16

DATA flip256<>+0(SB)/8, $0x0405060700010203
DATA flip256<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL flip256<>(SB), RODATA|NOPTR, $16

// SHA-1 (FIPS 180-4, 6.1). A lane has a state ABCD, two registers for E that change places every four rounds, and four of the
// schedule. In round group i, of four rounds, m0 is the schedule's register i mod 4, m1 the next, and so on.
//
//	first lane:  X0 ABCD   X1, X2 E    X3 … X6   schedule   SI input   DI state
//	second lane: X7 ABCD   X8, X9 E    X10 … X13 schedule   BX input   20(DI) state

#define LOAD(off, a0, b0) \
	MOVOU off(SI), a0 \
	MOVOU off(BX), b0 \
	PSHUFB X14, a0    \
	PSHUFB X14, b0

#define NEXT(a0, b0, ea, eb) \
	SHA1NEXTE a0, ea \
	SHA1NEXTE b0, eb

#define ROUNDS(k, ea, eb, fa, fb) \
	MOVO X0, fa           \
	MOVO X7, fb           \
	SHA1RNDS4 $k, ea, X0  \
	SHA1RNDS4 $k, eb, X7

#define MIX1(a0, b0, a3, b3) \
	SHA1MSG1 a0, a3 \
	SHA1MSG1 b0, b3

#define MIX2(a0, b0, a1, b1) \
	SHA1MSG2 a0, a1 \
	SHA1MSG2 b0, b1

#define XOR(a0, b0, a2, b2) \
	PXOR a0, a2 \
	PXOR b0, b2

#define GROUP(k, ea, eb, fa, fb, a0, b0, a1, b1, a2, b2, a3, b3) \
	NEXT(a0, b0, ea, eb)       \
	MIX2(a0, b0, a1, b1)       \
	ROUNDS(k, ea, eb, fa, fb)  \
	MIX1(a0, b0, a3, b3)       \
	XOR(a0, b0, a2, b2)

#define EVEN(k, a0, b0, a1, b1, a2, b2, a3, b3) GROUP(k, X1, X8, X2, X9, a0, b0, a1, b1, a2, b2, a3, b3)
#define ODD(k, a0, b0, a1, b1, a2, b2, a3, b3) GROUP(k, X2, X9, X1, X8, a0, b0, a1, b1, a2, b2, a3, b3)

// func blocks1(h *[2][5]uint32, a, b *byte, n int)
TEXT ·blocks1(SB), NOSPLIT, $64-32
	MOVQ h+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ n+24(FP), CX
	MOVOU flip1<>(SB), X14

	MOVOU  0(DI), X0
	MOVOU  20(DI), X7
	PSHUFD $0x1b, X0, X0
	PSHUFD $0x1b, X7, X7
	PXOR   X1, X1
	PXOR   X8, X8
	PINSRD $3, 16(DI), X1
	PINSRD $3, 36(DI), X8

next:
	MOVOU X0, 0(SP)
	MOVOU X1, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)

	// Groups 0 to 3 read the input.
	LOAD(0, X3, X10)
	PADDD X3, X1
	PADDD X10, X8
	ROUNDS(0, X1, X8, X2, X9)

	LOAD(16, X4, X11)
	NEXT(X4, X11, X2, X9)
	ROUNDS(0, X2, X9, X1, X8)
	MIX1(X4, X11, X3, X10)

	LOAD(32, X5, X12)
	NEXT(X5, X12, X1, X8)
	ROUNDS(0, X1, X8, X2, X9)
	MIX1(X5, X12, X4, X11)
	XOR(X5, X12, X3, X10)

	LOAD(48, X6, X13)
	ODD(0, X6, X13, X3, X10, X4, X11, X5, X12)

	EVEN(0, X3, X10, X4, X11, X5, X12, X6, X13)
	ODD(1, X4, X11, X5, X12, X6, X13, X3, X10)
	EVEN(1, X5, X12, X6, X13, X3, X10, X4, X11)
	ODD(1, X6, X13, X3, X10, X4, X11, X5, X12)
	EVEN(1, X3, X10, X4, X11, X5, X12, X6, X13)
	ODD(1, X4, X11, X5, X12, X6, X13, X3, X10)
	EVEN(2, X5, X12, X6, X13, X3, X10, X4, X11)
	ODD(2, X6, X13, X3, X10, X4, X11, X5, X12)
	EVEN(2, X3, X10, X4, X11, X5, X12, X6, X13)
	ODD(2, X4, X11, X5, X12, X6, X13, X3, X10)
	EVEN(2, X5, X12, X6, X13, X3, X10, X4, X11)
	ODD(3, X6, X13, X3, X10, X4, X11, X5, X12)
	EVEN(3, X3, X10, X4, X11, X5, X12, X6, X13)

	// Groups 17 to 19 need less and less of the schedule.
	NEXT(X4, X11, X2, X9)
	MIX2(X4, X11, X5, X12)
	ROUNDS(3, X2, X9, X1, X8)
	XOR(X4, X11, X6, X13)

	NEXT(X5, X12, X1, X8)
	MIX2(X5, X12, X6, X13)
	ROUNDS(3, X1, X8, X2, X9)

	NEXT(X6, X13, X2, X9)
	ROUNDS(3, X2, X9, X1, X8)

	MOVOU 16(SP), X3
	MOVOU 48(SP), X10
	NEXT(X3, X10, X1, X8)
	MOVOU 0(SP), X3
	MOVOU 32(SP), X10
	PADDD X3, X0
	PADDD X10, X7

	ADDQ $64, SI
	ADDQ $64, BX
	DECQ CX
	JNZ  next

	PSHUFD $0x1b, X0, X0
	PSHUFD $0x1b, X7, X7
	MOVOU  X0, 0(DI)
	PEXTRD $3, X1, 16(DI)
	MOVOU  X7, 20(DI)
	PEXTRD $3, X8, 36(DI)
	RET

// SHA-256 (FIPS 180-4, 6.2). A lane has its state in two registers, as the instructions want it, and four of the schedule. X0 is
// the operand that SHA256RNDS2 does not name.
//
//	first lane:  X1 ABEF   X2 CDGH   X3 … X6  schedule   SI input   DI state
//	second lane: X7 ABEF   X8 CDGH   X9 … X12 schedule   BX input   32(DI) state
//	R8 round constants   X13 scratch   X14 byte order

#define LOAD256(off, a0, b0) \
	MOVOU off(SI), a0 \
	MOVOU off(BX), b0 \
	PSHUFB X14, a0    \
	PSHUFB X14, b0

// Four rounds of one lane, group i.
#define ROUNDS256(i, m0, abef, cdgh) \
	MOVOU (16*i)(R8), X0         \
	PADDD m0, X0                 \
	SHA256RNDS2 X0, abef, cdgh   \
	PSHUFD $0x0e, X0, X0         \
	SHA256RNDS2 X0, cdgh, abef

// What group i adds to the schedule of one lane: m1 is completed, m3 begun.
#define MIX256(m0, m1, m3) \
	MOVO m0, X13           \
	PALIGNR $4, m3, X13    \
	PADDD X13, m1          \
	SHA256MSG2 m0, m1

#define GROUP256(i, a0, a1, a3, b0, b1, b3) \
	ROUNDS256(i, a0, X1, X2)  \
	MIX256(a0, a1, a3)        \
	SHA256MSG1 a0, a3         \
	ROUNDS256(i, b0, X7, X8)  \
	MIX256(b0, b1, b3)        \
	SHA256MSG1 b0, b3

// func blocks256(h *[2][8]uint32, k *[64]uint32, a, b *byte, n int)
TEXT ·blocks256(SB), NOSPLIT, $64-40
	MOVQ h+0(FP), DI
	MOVQ k+8(FP), R8
	MOVQ a+16(FP), SI
	MOVQ b+24(FP), BX
	MOVQ n+32(FP), CX
	MOVOU flip256<>(SB), X14

	// From ABCD and EFGH to ABEF and CDGH.
	MOVOU   0(DI), X1
	MOVOU   16(DI), X2
	PSHUFD  $0xb1, X1, X0
	PSHUFD  $0x1b, X2, X2
	MOVO    X0, X1
	PALIGNR $8, X2, X1
	PBLENDW $0xf0, X0, X2

	MOVOU   32(DI), X7
	MOVOU   48(DI), X8
	PSHUFD  $0xb1, X7, X0
	PSHUFD  $0x1b, X8, X8
	MOVO    X0, X7
	PALIGNR $8, X8, X7
	PBLENDW $0xf0, X0, X8

next256:
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)

	LOAD256(0, X3, X9)
	ROUNDS256(0, X3, X1, X2)
	ROUNDS256(0, X9, X7, X8)

	LOAD256(16, X4, X10)
	ROUNDS256(1, X4, X1, X2)
	SHA256MSG1 X4, X3
	ROUNDS256(1, X10, X7, X8)
	SHA256MSG1 X10, X9

	LOAD256(32, X5, X11)
	ROUNDS256(2, X5, X1, X2)
	SHA256MSG1 X5, X4
	ROUNDS256(2, X11, X7, X8)
	SHA256MSG1 X11, X10

	LOAD256(48, X6, X12)
	GROUP256(3, X6, X3, X5, X12, X9, X11)
	GROUP256(4, X3, X4, X6, X9, X10, X12)
	GROUP256(5, X4, X5, X3, X10, X11, X9)
	GROUP256(6, X5, X6, X4, X11, X12, X10)
	GROUP256(7, X6, X3, X5, X12, X9, X11)
	GROUP256(8, X3, X4, X6, X9, X10, X12)
	GROUP256(9, X4, X5, X3, X10, X11, X9)
	GROUP256(10, X5, X6, X4, X11, X12, X10)
	GROUP256(11, X6, X3, X5, X12, X9, X11)
	GROUP256(12, X3, X4, X6, X9, X10, X12)

	ROUNDS256(13, X4, X1, X2)
	MIX256(X4, X5, X3)
	ROUNDS256(13, X10, X7, X8)
	MIX256(X10, X11, X9)

	ROUNDS256(14, X5, X1, X2)
	MIX256(X5, X6, X4)
	ROUNDS256(14, X11, X7, X8)
	MIX256(X11, X12, X10)

	ROUNDS256(15, X6, X1, X2)
	ROUNDS256(15, X12, X7, X8)

	MOVOU 0(SP), X3
	MOVOU 16(SP), X4
	MOVOU 32(SP), X9
	MOVOU 48(SP), X10
	PADDD X3, X1
	PADDD X4, X2
	PADDD X9, X7
	PADDD X10, X8

	ADDQ $64, SI
	ADDQ $64, BX
	DECQ CX
	JNZ  next256

	// Back to ABCD and EFGH.
	PSHUFD  $0x1b, X1, X0
	PSHUFD  $0xb1, X2, X2
	MOVO    X0, X1
	PBLENDW $0xf0, X2, X1
	PALIGNR $8, X0, X2
	MOVOU   X1, 0(DI)
	MOVOU   X2, 16(DI)

	PSHUFD  $0x1b, X7, X0
	PSHUFD  $0xb1, X8, X8
	MOVO    X0, X7
	PBLENDW $0xf0, X8, X7
	PALIGNR $8, X0, X8
	MOVOU   X7, 32(DI)
	MOVOU   X8, 48(DI)
	RET

// func cpuid(leaf, sub uint32) (b, c uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-16
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL BX, b+8(FP)
	MOVL CX, c+12(FP)
	RET
