package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"dialtone/internal/secret"
)

// AnyProject among the projects of a credential admits it to all.
const AnyProject = "*"

// File lists who may call. Load reads it from YAML; `dialtone up` and tests
// build it in memory. The keys in its fields' comments are those of the YAML.
type File struct {
	Tokens     []Token     // tokens
	AccessKeys []AccessKey // access_keys
}

// Token is a bearer token, known by its hash only.
type Token struct {
	// Name stands for the token in logs; unique.
	Name string // name
	// SHA256 is the token's hash in hexadecimal digits, see HashToken; unique.
	SHA256 string // sha256
	// Projects are the ids of the projects it is good for, or AnyProject.
	Projects []string // projects
	// Roles are what its caller has; at least one.
	Roles []string // roles
	// Expires, if set, ends its validity.
	Expires time.Time // expires
}

// AccessKey is a key that signs requests.
type AccessKey struct {
	// ID is the access key itself; unique. It is not secret.
	ID string // ak
	// Secret is the key that belongs to it. In YAML it is given as
	// secret_sealed (see SealSecret) or as secret_file, the path of a file,
	// relative to that of the list, which holds it and nothing else.
	Secret secret.Text
	// SecurityTokenSHA256, if set, makes it a temporary key: requests carry
	// the token with this hash as X-Security-Token.
	SecurityTokenSHA256 string    // security_token_sha256
	Projects            []string  // projects
	Roles               []string  // roles
	Expires             time.Time // expires
}

// Problem is one fault of a File.
type Problem struct {
	// Path names the field, such as tokens[2].sha256.
	Path string
	// Text says what is wrong, without the value.
	Text string
}

// FileError lists every fault of a File at once.
type FileError struct{ Problems []Problem }

// Error lists the problems, separated by semicolons.
func (e *FileError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.Path + ": " + p.Text
	}
	return "list of credentials: " + strings.Join(texts, "; ")
}

// problems collects faults, the first of each path.
type problems struct {
	list []Problem
	seen map[string]bool
}

func (p *problems) add(path, text string) {
	if p.seen[path] {
		return
	}
	p.list = append(p.list, Problem{path, text})
	p.know(path)
}

// know keeps later faults of the path out of the list.
func (p *problems) know(path string) {
	if p.seen == nil {
		p.seen = map[string]bool{}
	}
	p.seen[path] = true
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &FileError{p.list}
}

// token and accessKey are what a request is compared with.
type token struct {
	hash [sha256.Size]byte
	name string
	grant
}

type accessKey struct {
	id            string
	secret        secret.Text
	temporary     bool
	securityToken [sha256.Size]byte
	grant
}

// grant is what a credential is good for.
type grant struct {
	projects []string
	roles    []string
	expires  time.Time
}

func (g grant) expired(now time.Time) bool { return !g.expires.IsZero() && !now.Before(g.expires) }

func (g grant) admits(project string) bool {
	return slices.Contains(g.projects, project) || slices.Contains(g.projects, AnyProject)
}

// index is a File made ready to look things up in; immutable.
type index struct {
	tokens map[[sha256.Size]byte]*token
	keys   map[string]*accessKey
}

// build checks the file and indexes it, reporting into found, which may hold
// problems already.
func (f *File) build(found *problems) *index {
	idx := &index{
		tokens: make(map[[sha256.Size]byte]*token, len(f.Tokens)),
		keys:   make(map[string]*accessKey, len(f.AccessKeys)),
	}
	names := map[string]int{}
	for i, t := range f.Tokens {
		at := fmt.Sprintf("tokens[%d]", i)
		if first, taken := names[t.Name]; taken && t.Name != "" {
			found.add(at+".name", fmt.Sprintf("is the same as that of tokens[%d]", first))
		}
		names[t.Name] = i
		checkName(found, at+".name", t.Name)
		hash := checkHash(found, at+".sha256", t.SHA256)
		if other, taken := idx.tokens[hash]; taken && t.SHA256 != "" {
			found.add(at+".sha256", "is the same as that of the token named "+other.name)
		}
		idx.tokens[hash] = &token{hash: hash, name: t.Name, grant: checkGrant(found, at, t.Projects, t.Roles, t.Expires)}
	}
	for i, k := range f.AccessKeys {
		at := fmt.Sprintf("access_keys[%d]", i)
		checkAccessKeyID(found, at+".ak", k.ID)
		if _, taken := idx.keys[k.ID]; taken && k.ID != "" {
			found.add(at+".ak", "is listed twice")
		}
		if !k.Secret.IsSet() {
			found.add(at+".secret", "is missing")
		}
		key := &accessKey{id: k.ID, secret: k.Secret, grant: checkGrant(found, at, k.Projects, k.Roles, k.Expires)}
		if k.SecurityTokenSHA256 != "" {
			key.temporary = true
			key.securityToken = checkHash(found, at+".security_token_sha256", k.SecurityTokenSHA256)
		}
		idx.keys[k.ID] = key
	}
	return idx
}

func checkName(found *problems, path, name string) {
	switch {
	case name == "":
		found.add(path, "is missing")
	case len(name) > 128 || strings.ContainsFunc(name, notGraphic):
		found.add(path, "must be at most 128 characters, without blanks or control characters")
	}
}

func checkHash(found *problems, path, text string) (hash [sha256.Size]byte) {
	if text == "" {
		found.add(path, "is missing")
		return hash
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != sha256.Size {
		found.add(path, "must be 64 hexadecimal digits, the SHA-256 of the token")
		return hash
	}
	hash = [sha256.Size]byte(raw)
	if hash == sha256.Sum256(nil) {
		found.add(path, "is the hash of an empty token")
	}
	return hash
}

func checkAccessKeyID(found *problems, path, id string) {
	switch {
	case id == "":
		found.add(path, "is missing")
	case !validAccessKeyID(id):
		found.add(path, "must be at most 128 letters, digits and any of - _ .")
	}
}

func checkGrant(found *problems, at string, projects, roles []string, expires time.Time) grant {
	checkNames(found, at+".projects", projects, "needs at least one project id, or *")
	checkNames(found, at+".roles", roles, "needs at least one role")
	return grant{projects: slices.Clone(projects), roles: slices.Clone(roles), expires: expires}
}

func checkNames(found *problems, path string, names []string, whenEmpty string) {
	if len(names) == 0 {
		found.add(path, whenEmpty)
	}
	for i, name := range names {
		if name == "" || len(name) > 128 || strings.ContainsFunc(name, notGraphic) || strings.Contains(name, "/") {
			found.add(fmt.Sprintf("%s[%d]", path, i), "must be 1 to 128 characters, without blanks, slashes or control characters")
		}
	}
}

func notGraphic(r rune) bool { return r <= ' ' || r == 0x7f || r == '\ufffd' }
