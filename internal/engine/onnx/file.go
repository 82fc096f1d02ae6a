package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of fields in onnx.proto.
const (
	modelGraph = 7

	graphNode              = 1
	graphInitializer       = 5
	graphSparseInitializer = 15

	nodeOutput    = 2
	nodeInput     = 1
	nodeOp        = 4
	nodeAttribute = 5

	attributeName    = 1
	attributeTensor  = 5
	attributeGraph   = 6
	attributeInts    = 8
	attributeStrings = 9
	attributeTensors = 10
	attributeGraphs  = 11

	sparseValues  = 1
	sparseIndices = 2

	tensorExternal = 13

	entryKey   = 1
	entryValue = 2
)

// deepest bounds graphs within graphs.
const deepest = 32

// file is what the engine reads of a model itself: what onnxruntime's C API does not tell.
type file struct {
	external []string        // locations of tensors that other files hold
	nodes    map[string]node // of the graph, by the name of each output
}

// node is a node of the graph.
type node struct {
	op     string
	input  string // the first
	first  string // the first output
	labels []any  // the classes that a classifier gives: all string or all int64
}

// readFile reads the model of that name. It maps the file, which may have 2 GB.
func readFile(name string) (*file, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", name, err)
	}
	defer func() { _ = syscall.Munmap(data) }()
	found, err := parseFile(data)
	if err != nil {
		return nil, fmt.Errorf("%s is no ONNX model, or is cut off: %w", name, err)
	}
	return found, nil
}

// parseFile reads a serialised ModelProto. It keeps nothing of data.
func parseFile(data []byte) (*file, error) {
	f := &file{nodes: map[string]node{}}
	graphs := 0
	err := fields(data, func(number protowire.Number, value []byte) error {
		if number != modelGraph {
			return nil
		}
		graphs++
		return f.graph(value, 0)
	})
	if err == nil && graphs != 1 {
		err = fmt.Errorf("it has %d graphs", graphs)
	}
	return f, err
}

// fields calls f with each field of a message that is a message, a text, bytes or packed.
func fields(data []byte, f func(number protowire.Number, value []byte) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
				return protowire.ParseError(n)
			}
			data = data[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if err := f(number, value); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) graph(data []byte, depth int) error {
	if depth > deepest {
		return errors.New("its graphs are nested too deep")
	}
	return fields(data, func(number protowire.Number, value []byte) error {
		switch number {
		case graphNode:
			return f.node(value, depth)
		case graphInitializer:
			return f.tensor(value)
		case graphSparseInitializer:
			return f.sparse(value)
		default:
			return nil
		}
	})
}

func (f *file) node(data []byte, depth int) error {
	var n node
	var outputs []string
	inputs := 0
	err := fields(data, func(number protowire.Number, value []byte) error {
		switch number {
		case nodeInput:
			if inputs++; inputs == 1 {
				n.input = string(value)
			}
		case nodeOutput:
			outputs = append(outputs, string(value))
		case nodeOp:
			n.op = string(value)
		case nodeAttribute:
			return f.attribute(value, depth, &n)
		}
		return nil
	})
	if err != nil || depth > 0 || len(outputs) == 0 {
		return err
	}
	n.first = outputs[0]
	for _, output := range outputs {
		f.nodes[output] = n
	}
	return nil
}

// labelsOf are the attributes that hold the classes of a classifier.
var labelsOf = []string{"classlabels_strings", "classlabels_int64s", "classlabels_ints"}

func (f *file) attribute(data []byte, depth int, n *node) error {
	var name string
	var labels []any
	err := fields(data, func(number protowire.Number, value []byte) error {
		switch number {
		case attributeName:
			name = string(value)
		case attributeStrings:
			if len(value) < 4096 {
				labels = append(labels, string(value))
			}
		case attributeInts: // packed; the other form is read below
			for len(value) > 0 {
				v, size := protowire.ConsumeVarint(value)
				if size < 0 {
					return protowire.ParseError(size)
				}
				labels, value = append(labels, int64(v)), value[size:]
			}
		case attributeTensor, attributeTensors:
			return f.tensor(value)
		case attributeGraph, attributeGraphs:
			return f.graph(value, depth+1)
		}
		return nil
	})
	if err == nil && slices.Contains(labelsOf, name) {
		if labels == nil {
			labels = unpacked(data)
		}
		n.labels = labels
	}
	return err
}

// unpacked returns an attribute's ints, each of them a field, as onnx.proto has them.
func unpacked(attribute []byte) (values []any) {
	for len(attribute) > 0 { // it was parsed before
		number, kind, n := protowire.ConsumeTag(attribute)
		attribute = attribute[n:]
		if number == attributeInts && kind == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(attribute)
			values = append(values, int64(v))
		}
		attribute = attribute[protowire.ConsumeFieldValue(number, kind, attribute):]
	}
	return values
}

func (f *file) sparse(data []byte) error {
	return fields(data, func(number protowire.Number, value []byte) error {
		if number == sparseValues || number == sparseIndices {
			return f.tensor(value)
		}
		return nil
	})
}

func (f *file) tensor(data []byte) error {
	return fields(data, func(number protowire.Number, value []byte) error {
		if number != tensorExternal {
			return nil
		}
		var key, text string
		err := fields(value, func(number protowire.Number, value []byte) error {
			switch number {
			case entryKey:
				key = string(value)
			case entryValue:
				text = string(value)
			}
			return nil
		})
		if key == "location" && !slices.Contains(f.external, text) {
			f.external = append(f.external, text)
		}
		return err
	})
}

// checkExternal returns an error unless every file that holds tensors is a regular one within the folder.
func (f *file) checkExternal(folder string) error {
	for _, location := range f.external {
		if !filepath.IsLocal(location) {
			return fmt.Errorf("a tensor is in the file %q, which is not within the folder of the model; save the model with its data beside it", location)
		}
		info, err := os.Lstat(filepath.Join(folder, location))
		if err != nil {
			return fmt.Errorf("the file %q of a tensor: %w", location, err)
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("the file %q of a tensor is not a regular file", location)
		}
	}
	return nil
}

// passing are operators that give on the labels that they take.
var passing = []string{"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"}

// classes returns the classes of the classifier whose labels the output is; nil if it is none.
func (f *file) classes(output string) []any {
	for range deepest {
		n, ok := f.nodes[output]
		switch {
		case !ok:
			return nil
		case n.labels != nil && n.first == output:
			return n.labels
		case !slices.Contains(passing, n.op):
			return nil
		}
		output = n.input
	}
	return nil
}
