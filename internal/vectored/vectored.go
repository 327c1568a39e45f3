// Package vectored reads and writes several buffers with one system call (readv(2), pwritev(2)), without allocating. Its
// functions exist on Linux only; callers have a plain way for other systems.
package vectored

// Max is the most buffers that one call takes; the system allows 1,024 (IOV_MAX).
const Max = 256
