# The certificates of the tests: two authorities, and leaves that are right or wrong in one way each.
# shellcheck shell=bash disable=SC2154

make_pki() {
  local pki=$dir/pki
  [[ ! -e $pki/ready ]] || return 0
  rm -rf "$pki"
  mkdir -m 0711 "$pki"
  (
    cd "$pki"
    exec 2>"$dir/log/pki.log"
    mkdir issued
    authority ca 'dialtone test CA'
    authority rogue-ca 'dialtone rogue CA'
    local here='DNS:localhost,IP:127.0.0.1,IP:::1' now
    now=$(date -u +%Y%m%d%H%M%SZ)
    local past before after
    past=$(date -u -d '2 days ago' +%Y%m%d%H%M%SZ)
    before=$(date -u -d '90 days ago' +%Y%m%d%H%M%SZ)
    after=$(date -u -d '2 years' +%Y%m%d%H%M%SZ)
    leaf ca server serverAuth localhost "$here" "$now" "$after"
    leaf ca wrongname serverAuth db.wrong.example 'DNS:db.wrong.example' "$now" "$after"
    leaf ca expired serverAuth localhost "$here" "$before" "$past"
    leaf rogue-ca rogue-server serverAuth localhost "$here" "$now" "$after"
    leaf ca client clientAuth dt_cert 'DNS:dt_cert' "$now" "$after"
    leaf rogue-ca rogue-client clientAuth dt_cert 'DNS:dt_cert' "$now" "$after"
    rm -rf issued ./*.csr ./*.index* ./*.cnf
    touch ready
  ) || { tail -n 15 "$dir/log/pki.log" >&2; die "openssl could not make the test certificates"; }
}

authority() { # NAME CN
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" \
    -days 3650 -subj "/O=dialtone tests/CN=$2" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
  touch "$1.index"
}

# `openssl ca`, because it alone takes both dates and so can make an expired one.
leaf() { # CA NAME USAGE CN SAN FROM TO
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$2.key" -out "$2.csr" \
    -subj "/O=dialtone tests/CN=$4"
  cat >"$2.cnf" <<CNF
[ca]
default_ca = this
[this]
new_certs_dir = issued
database = $1.index
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
x509_extensions = leaf
[any]
organizationName = supplied
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = $3
subjectAltName = $5
CNF
  openssl ca -batch -notext -config "$2.cnf" -cert "$1.pem" -keyfile "$1.key" \
    -in "$2.csr" -out "$2.pem" -startdate "$6" -enddate "$7"
}
