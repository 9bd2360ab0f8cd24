# Servers that are written in Java: a JRE and Maven from Debian, the jars from Maven Central.
# shellcheck shell=bash disable=SC2154

# What a kind's packages_KIND echoes when its server is a Java program.
packages_java() {
  # The name of the JRE is Debian's choice of version; any from 17 on does.
  command -v java >/dev/null || echo default-jre-headless
  command -v mvn >/dev/null || echo maven
}

# maven_jars NAME prints the class path of the runtime dependencies of NAME/pom.xml beside this
# file. They are fetched once and kept in a cache of the user, so that neither `down` nor a second
# checkout fetches them again; another pom is another directory.
maven_jars() {
  local pom=$root/scripts/services.d/$1/pom.xml cache jars
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/dialtone/jars
  jars=$cache/$1-$(sha256sum "$pom" | cut -c1-12)
  if [[ ! -d $jars ]]; then
    mkdir -p "$cache"
    (
      flock -w 600 8
      [[ ! -d $jars ]] || exit 0
      rm -rf "$jars.part"
      # What the local repository has needs no network.
      maven_copy "$pom" "$jars.part" -o >/dev/null 2>&1 || maven_copy "$pom" "$jars.part"
      mv "$jars.part" "$jars"
    ) 8>"$cache/.lock" >&2 || { say "Maven could not fetch the jars of $pom"; return 1; }
  fi
  # The wildcard is Java's own: every jar of the directory.
  printf '%s/*\n' "$jars"
}

maven_copy() { # POM DIRECTORY OPTION...
  local pom=$1 directory=$2
  shift 2
  # From a directory without a project: the .mvn of a checkout is nobody's business here.
  (cd "${pom%/*}" && mvn -q -B -Dstyle.color=never "$@" -f "$pom" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$directory")
}
