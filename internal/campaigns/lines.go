package campaigns

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"gavel/internal/auction"
)

// lines finds the line of a fault.
type lines struct{ campaigns *yaml.Node }

// newLines parses the document into nodes, which know their lines. If that fails, lines finds nothing.
func newLines(data []byte) lines {
	var root yaml.Node
	if yaml.Unmarshal(data, &root) != nil || len(root.Content) == 0 {
		return lines{}
	}
	return lines{child(root.Content[0], "campaigns")}
}

// of returns the line of the deepest part of path that exists in campaign index, or 0 if there is none.
func (l lines) of(index int, path string) int {
	node := item(l.campaigns, index)
	if node == nil {
		return 0
	}
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		next := child(node, step)
		if i, err := strconv.Atoi(step); err == nil {
			next = item(node, i)
		}
		if next == nil {
			break
		}
		node = next
	}
	return node.Line
}

func child(node *yaml.Node, key string) *yaml.Node {
	node = resolve(node)
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func item(node *yaml.Node, i int) *yaml.Node {
	node = resolve(node)
	if node == nil || node.Kind != yaml.SequenceNode || i >= len(node.Content) {
		return nil
	}
	return node.Content[i]
}

func resolve(node *yaml.Node) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func placed(path string, l lines, f *auction.Fault) error {
	if line := l.of(f.Index, f.Path); line > 0 {
		return fmt.Errorf("%s: line %d: %w", path, line, f)
	}
	return fmt.Errorf("%s: %w", path, f)
}

// allPlaced adds file and line to every fault that err joins.
func allPlaced(path string, l lines, err error) error {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	out := make([]error, len(list))
	for i, e := range list {
		if f, ok := errors.AsType[*auction.Fault](e); ok {
			out[i] = placed(path, l, f)
		} else {
			out[i] = fmt.Errorf("%s: %w", path, e)
		}
	}
	return errors.Join(out...)
}
