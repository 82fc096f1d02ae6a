package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// makers are the files that may make an auction.Request, apart from tests: the law; what reads an event, which the law has
// seen; and a fixture of tests. Every other code gets its Request from one of them.
var makers = []string{"internal/privacy/law.go", "internal/events/bid.go", "internal/events/eventstest/eventstest.go"}

// Nothing passes by the law: no code but the law turns a Draft, which has everything that an exchange sent, into a Request, or
// makes a Request of its own. So whatever features, scoring, events and logs read was allowed.
func TestOnlyTheLawMakesRequests(t *testing.T) {
	files := token.NewFileSet()
	seen := map[string]bool{}
	for _, root := range []string{"../internal", "../cmd", "../bench"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			name := filepath.ToSlash(strings.TrimPrefix(path, "../"))
			inside := file.Name.Name == "auction" && strings.HasPrefix(name, "internal/auction/")
			for _, made := range requestsMade(file, inside) {
				if seen[name] = true; !slices.Contains(makers, name) {
					t.Errorf("%s: makes an auction.Request; take one from privacy.Law.Apply", files.Position(made))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, maker := range makers {
		if !seen[maker] {
			t.Errorf("%s makes no request any more: remove it from the list", maker)
		}
	}
}

// requestsMade finds where a file uses the type auction.Request other than by pointer, and conversions to the pointer. inside
// says that the file is of package auction itself, which declares the type Draft by it.
func requestsMade(file *ast.File, inside bool) (at []token.Pos) {
	is := func(e ast.Expr) bool {
		if s, ok := e.(*ast.SelectorExpr); ok {
			x, ok := s.X.(*ast.Ident)
			return ok && x.Name == "auction" && s.Sel.Name == "Request"
		}
		i, ok := e.(*ast.Ident)
		return inside && ok && i.Name == "Request"
	}
	pointers := map[ast.Expr]bool{} // uses by pointer, which make nothing, and fields of that name
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.StarExpr:
			pointers[x.X] = true
		case *ast.Field:
			for _, name := range x.Names {
				pointers[name] = true
			}
		case *ast.TypeSpec:
			if inside && (x.Name.Name == "Request" || x.Name.Name == "Draft") {
				return false
			}
		case *ast.CallExpr:
			if p, ok := x.Fun.(*ast.ParenExpr); ok {
				if s, ok := p.X.(*ast.StarExpr); ok && is(s.X) {
					at = append(at, x.Pos())
				}
			}
		case *ast.SelectorExpr, *ast.Ident:
			if s, ok := x.(*ast.SelectorExpr); ok {
				pointers[s.Sel] = true
			}
			if e := x.(ast.Expr); is(e) && !pointers[e] {
				at = append(at, n.Pos())
				return false
			}
		}
		return true
	})
	return at
}

func TestRequestsMade(t *testing.T) {
	f := func(code string, inside bool, want int) {
		t.Helper()
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package p\n"+code, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(requestsMade(file, inside)); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
	f("func f(r *auction.Request) {}", false, 0)
	f("var r = (*auction.Request)(d)", false, 1)
	f("var r = auction.Request(d)", false, 1)
	f("var r = auction.Request{}", false, 1)
	f("var r = &auction.Request{ID: id}", false, 1)
	f("var r = new(auction.Request)", false, 1)
	f("var r auction.Request", false, 1)
	f("type t struct { r []auction.Request }", false, 1)
	f("type Draft Request", true, 0)
	f("func f(r *Request) {}", true, 0)
	f("func f(d *Draft) *Request { return (*Request)(d) }", true, 1)
}
