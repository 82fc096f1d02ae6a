package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
)

// npyHeader is the whole header of a NumPy file, version 1.0; numpy.lib.format asks for a multiple of 64 bytes.
const npyHeader = 128

// npyFile is an array in NumPy's format whose number of rows is known only when it is closed. It is written as
// <path>.part and renamed, so that a file that is there is whole.
type npyFile struct {
	path, dtype string
	width       int // columns; 0: one dimension
	file        *os.File
	out         *bufio.Writer
}

func createNPY(path, dtype string, width int) (*npyFile, error) {
	file, err := os.Create(path + ".part")
	if err != nil {
		return nil, err
	}
	n := &npyFile{path: path, dtype: dtype, width: width, file: file, out: bufio.NewWriterSize(file, 1<<20)}
	_, err = n.out.Write(make([]byte, npyHeader)) // its place
	return n, err
}

// write appends a row, whose Go type must be that of dtype.
func (n *npyFile) write(row any) error { return binary.Write(n.out, binary.LittleEndian, row) }

// close writes the header for so many rows and lets the file appear.
func (n *npyFile) close(rows int) error {
	defer n.file.Close()
	shape := fmt.Sprintf("(%d,)", rows)
	if n.width > 0 {
		shape = fmt.Sprintf("(%d, %d)", rows, n.width)
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", n.dtype, shape)
	header := append([]byte("\x93NUMPY\x01\x00"), byte(npyHeader-10), 0)
	header = append(header, text...)
	header = append(header, strings.Repeat(" ", npyHeader-1-len(header))+"\n"...)
	if err := n.out.Flush(); err != nil {
		return err
	}
	if _, err := n.file.WriteAt(header, 0); err != nil {
		return err
	}
	if err := n.file.Close(); err != nil {
		return err
	}
	return os.Rename(n.path+".part", n.path)
}
