package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// giveBack drops the pages of files in a directory from the address space, as if they were mapped and never read. What they
// hold stays in the system's cache: the next read of a page maps it again.
func giveBack(directory string) error {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	dropped := 0
	for s := bufio.NewScanner(maps); s.Scan(); {
		if !strings.Contains(s.Text(), directory+"/") {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(s.Text(), "%x-%x ", &from, &to); err != nil {
			return fmt.Errorf("/proc/self/maps: %w", err)
		}
		if _, _, fault := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED); fault != 0 {
			return fmt.Errorf("cannot give pages back: %w", fault)
		}
		dropped++
	}
	if dropped == 0 {
		return fmt.Errorf("no file of %s is mapped", directory)
	}
	return nil
}
