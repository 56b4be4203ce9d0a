package cluster

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// setLoss has a program in the kernel look at what comes in: netem, which is made
// for this, is not in every kernel. What is lost on its way out would not do,
// since the sender's TCP is told of that.
func (h *nic) setLoss(part float64) error {
	index := h.dev.Attrs().Index
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	// Nothing is there at first: the kernel says "invalid argument" of that.
	if err := h.nl.QdiscDel(qdisc); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if part == 0 {
		return nil
	}
	if err := h.nl.QdiscAdd(qdisc); err != nil {
		return err
	}
	fd, err := loadLoss(part)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // the filter holds it
	return h.nl.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
		Fd:          fd, Name: "loss", DirectAction: true,
	})
}

// loadLoss loads a program of type sched_cls that drops a part of all frames at
// random.
func loadLoss(part float64) (fd int, err error) {
	const (
		call, shiftRight, ifLess, set, exit = 0x85, 0x77, 0xa5, 0xb7, 0x95 // instructions on r0
		prandom                             = 7                            // the helper that returns 32 random bits
		pass, drop                          = 0, 2                         // verdicts
		schedCls, progLoad                  = 3, 5
	)
	instruction := func(op, jump uint64, operand uint32) uint64 { return op | jump<<16 | uint64(operand)<<32 }
	program := []uint64{
		instruction(call, 0, prandom),
		instruction(shiftRight, 0, 1), // operands are signed
		instruction(ifLess, 2, uint32(min(part*(1<<31), 1<<31-1))),
		instruction(set, 0, pass),
		instruction(exit, 0, 0),
		instruction(set, 0, drop),
		instruction(exit, 0, 0),
	}
	license := []byte("BSD\x00")
	attr := netlink.BPFAttr{
		ProgType: schedCls,
		InsnCnt:  uint32(len(program)),
		Insns:    uintptr(unsafe.Pointer(&program[0])),
		License:  uintptr(unsafe.Pointer(&license[0])),
	}
	r, _, errno := unix.Syscall(unix.SYS_BPF, progLoad, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	if errno != 0 {
		return 0, fmt.Errorf("loading the program that loses frames: %w", errno)
	}
	return int(r), nil
}
