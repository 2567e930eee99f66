package websocket

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// ringSize is how many writes go into one call: enough that the call itself
// counts for nothing, and few enough that nobody who waits for one of the
// connections notices (they take a millisecond at most).
const ringSize = 128

// io_uring(7): the numbers are the same on all architectures.
const (
	sysSetup = 425
	sysEnter = 426

	opSend         = 26      // IORING_OP_SEND, since Linux 5.6
	enterGetEvents = 1 << 0  // IORING_ENTER_GETEVENTS
	featSingleMmap = 1 << 0  // IORING_FEAT_SINGLE_MMAP, since 5.4
	featRWCurPos   = 1 << 3  // IORING_FEAT_RW_CUR_POS, which shows 5.6
	offSQEntries   = 1 << 28 // IORING_OFF_SQES
)

// submission is struct io_uring_sqe, completion struct io_uring_cqe.
type submission struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	offset, addr  uint64
	len, msgFlags uint32
	userData      uint64
	_             [3]uint64
}

type completion struct {
	userData uint64
	result   int32
	_        uint32
}

// ringParams is struct io_uring_params, ringOffsets its two structs of offsets.
type ringParams struct {
	submissions, completions, flags, cpu, idle, features, queue uint32
	_                                                           [3]uint32
	sq, cq                                                      ringOffsets
}

type ringOffsets struct {
	head, tail, mask, entries, a, b, c, _ uint32 // a, b, c: flags, dropped and array of sq; overflow, cqes and flags of cq
	_                                     uint64
}

// ring is one io_uring, for writes that do not wait. It belongs to one goroutine
// at a time.
type ring struct {
	fd      int
	shared  []byte // the two queues
	entries []byte
	sqTail  *uint32
	sqMask  uint32
	sqSlots []uint32
	sqEntry []submission
	cqHead  *uint32
	cqTail  *uint32
	cqMask  uint32
	cqEntry []completion
	results [ringSize]int32
	batch
}

// newRing makes a ring. Kernels before 5.6 cannot, and containers may not.
func newRing() (r *ring, err error) {
	var p ringParams
	fd, _, errno := syscall.Syscall(sysSetup, ringSize, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r = &ring{fd: int(fd)}
	syscall.CloseOnExec(r.fd)
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if p.features&featSingleMmap == 0 || p.features&featRWCurPos == 0 {
		return nil, syscall.ENOSYS
	}
	const access, kind = syscall.PROT_READ | syscall.PROT_WRITE, syscall.MAP_SHARED | syscall.MAP_POPULATE
	size := max(p.sq.c+p.submissions*4, p.cq.b+p.completions*uint32(unsafe.Sizeof(completion{})))
	if r.shared, err = syscall.Mmap(r.fd, 0, int(size), access, kind); err != nil {
		return nil, fmt.Errorf("mapping the queues: %w", err)
	}
	size = p.submissions * uint32(unsafe.Sizeof(submission{}))
	if r.entries, err = syscall.Mmap(r.fd, offSQEntries, int(size), access, kind); err != nil {
		return nil, fmt.Errorf("mapping the entries: %w", err)
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.shared[offset])) }
	r.sqTail, r.sqMask = at(p.sq.tail), *at(p.sq.mask)
	r.cqHead, r.cqTail, r.cqMask = at(p.cq.head), at(p.cq.tail), *at(p.cq.mask)
	r.sqSlots = unsafe.Slice(at(p.sq.c), p.submissions)
	r.sqEntry = unsafe.Slice((*submission)(unsafe.Pointer(&r.entries[0])), p.submissions)
	r.cqEntry = unsafe.Slice((*completion)(unsafe.Pointer(&r.shared[p.cq.b])), p.completions)
	return r, nil
}

func (r *ring) close() {
	// Nothing can be done about a failure, and nothing is lost by it.
	if r.shared != nil {
		_ = syscall.Munmap(r.shared)
	}
	if r.entries != nil {
		_ = syscall.Munmap(r.entries)
	}
	_ = syscall.Close(r.fd)
}

// add puts a write behind the others of the next submit.
func (r *ring) add(fd int, run []byte) {
	i := uint32(len(r.conns))
	slot := (*r.sqTail + i) & r.sqMask
	r.sqEntry[slot] = submission{
		opcode: opSend, fd: int32(fd), userData: uint64(i),
		addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(run)))), len: uint32(len(run)),
		msgFlags: syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL,
	}
	r.sqSlots[slot] = slot
}

// submit does the writes that were added, one for each of r.conns, and puts what
// came of each into r.results. A write that an error came before has taken
// nothing. A write that must not wait is done before the call returns, so of
// those that the kernel has accepted none is left when the next call fails.
func (r *ring) submit(run []byte) error {
	n := len(r.conns)
	if n == 0 {
		return nil
	}
	clear(r.results[:n])
	atomic.StoreUint32(r.sqTail, *r.sqTail+uint32(n))
	for left, answered := n, 0; answered < n; {
		took, _, errno := syscall.Syscall6(sysEnter, uintptr(r.fd), uintptr(left), uintptr(left), enterGetEvents, 0, 0)
		answered += r.collect()
		if errno == 0 {
			left -= int(took)
		} else if errno != syscall.EINTR {
			return fmt.Errorf("io_uring_enter: %w", errno)
		}
	}
	runtime.KeepAlive(run)
	return nil
}

// collect takes the answers that are there.
func (r *ring) collect() (n int) {
	head := *r.cqHead
	for tail := atomic.LoadUint32(r.cqTail); head != tail; head++ {
		c := &r.cqEntry[head&r.cqMask]
		r.results[c.userData] = c.result
		n++
	}
	atomic.StoreUint32(r.cqHead, head)
	return n
}
