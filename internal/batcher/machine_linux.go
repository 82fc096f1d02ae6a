package batcher

import (
	"bytes"
	"os"
	"strconv"
)

// machineCPU is the time that all processors of the machine were idle or ran niced work, and all time, in ticks: the first
// line of /proc/stat, see proc_stat(5). Where that can't be read, ok is false.
func machineCPU() (idle, all float64, ok bool) {
	file, err := os.Open("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	defer func() { _ = file.Close() }() // it was only read
	var line [256]byte
	n, _ := file.Read(line[:])
	return cpuTimes(line[:n])
}

// cpuTimes reads "cpu user nice system idle iowait irq softirq steal guest guest_nice". The last two are within the first
// two.
func cpuTimes(stat []byte) (idle, all float64, ok bool) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, 0, false
	}
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseFloat(string(field), 64)
		if err != nil {
			return 0, 0, false
		}
		all += ticks
		if i == 1 || i == 3 || i == 4 { // nice, idle, iowait
			idle += ticks
		}
	}
	return idle, all, true
}
