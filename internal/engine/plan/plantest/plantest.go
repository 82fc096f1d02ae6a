// Package plantest writes small plans and their objects for tests, as docs/plan-format.md says, sound or not.
package plantest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// Plan is plan.msgpack with the objects of its nodes.
type Plan struct {
	Inputs    []Input
	Nodes     []Node
	Outputs   []Output
	Labels    []any
	Tolerance float64 // 0: 1e-6
	Source    string
}

// Input is a column. Type is "text", "float64", "float32" or "int32".
type Input struct {
	Name  string `msgpack:"name"`
	Type  string `msgpack:"type"`
	Width int    `msgpack:"width"`
}

// Node is a node; Obj maps names to tensors.
type Node struct {
	Op  string
	In  []int
	Set map[string]any
	Obj map[string]Tensor
	At  string
}

// Output names a value.
type Output struct {
	Name  string `msgpack:"name"`
	Value int    `msgpack:"value"`
}

// Tensor is an object.
type Tensor struct {
	Dims   []int
	Values any // []uint8, []int32, []uint32, []int64, []uint64, []float32 or []float64
}

// Of is the tensor with the values and dimensions; one dimension if none is given.
func Of[T uint8 | int32 | uint32 | int64 | uint64 | float32 | float64](values []T, dims ...int) Tensor {
	if len(dims) == 0 {
		dims = []int{len(values)}
	}
	return Tensor{dims, values}
}

// Object is the file of a tensor, and its name.
func (x Tensor) Object() (name string, file []byte) {
	types := map[string]uint32{"[]uint8": 1, "[]int32": 2, "[]uint32": 3, "[]int64": 4, "[]uint64": 5, "[]float32": 6, "[]float64": 7}
	header := struct {
		Magic                  [8]byte
		Version, Of, Count, No uint32
		Dims                   [4]uint64
		Rest                   uint64
	}{Magic: [8]byte([]byte("GAVELOBJ")), Version: 1, Of: types[fmt.Sprintf("%T", x.Values)], Count: uint32(len(x.Dims)), Dims: [4]uint64{1, 1, 1, 1}}
	for i, d := range x.Dims {
		header.Dims[i] = uint64(d)
	}
	var b bytes.Buffer
	for _, part := range []any{header, x.Values} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err) // types that no tensor has
		}
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:]), b.Bytes()
}

// Encode is plan.msgpack, and its objects by name.
func (p Plan) Encode() (plan []byte, objects map[string][]byte) {
	objects = map[string][]byte{}
	nodes := []any{}
	for _, n := range p.Nodes {
		set, obj := n.Set, map[string]string{}
		if set == nil {
			set = map[string]any{}
		}
		for name, tensor := range n.Obj {
			sum, file := tensor.Object()
			obj[name], objects[sum] = sum, file
		}
		nodes = append(nodes, map[string]any{"op": n.Op, "in": n.In, "set": set, "obj": obj, "at": n.At})
	}
	if p.Tolerance == 0 {
		p.Tolerance = 1e-6
	}
	if p.Labels == nil {
		p.Labels = []any{}
	}
	plan, err := msgpack.Marshal(map[string]any{
		"plan": 1, "inputs": p.Inputs, "nodes": nodes, "outputs": p.Outputs, "labels": p.Labels, "tolerance": p.Tolerance, "source": p.Source,
	})
	if err != nil {
		panic(err)
	}
	return plan, objects
}

// Write writes the plan into the folder, and its objects into objects. Both are made where they do not exist.
func (p Plan) Write(t testing.TB, folder, objects string) {
	t.Helper()
	plan, files := p.Encode()
	put(t, filepath.Join(folder, "plan.msgpack"), plan)
	for name, file := range files {
		put(t, filepath.Join(objects, name), file)
	}
}

func put(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
