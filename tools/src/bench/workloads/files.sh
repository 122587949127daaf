# files.sh DATA ROOT: what the workloads work on.
set -e
head -c 268435456 /dev/urandom >"$1/large"

# A repository of 5,000 files in 100 directories.
mkdir "$1/tree"
cd "$1/tree"
for directory in $(seq 100); do
  mkdir "d$directory"
  for file in $(seq 50); do
    printf 'file %s of directory %s\nneedle %s\nsome more words to look at\n' "$file" "$directory" "$((file * directory))" >"d$directory/f$file"
  done
done
export HOME="$1" GIT_CONFIG_NOSYSTEM=1
git init -q . && git add . && git -c user.name=bench -c user.email=bench@localhost commit -q -m bench

# A program of twelve files.
mkdir -p "$2/src"
cd "$2/src"
{
  echo 'CFLAGS = -O1'
  printf 'program:'
  for file in $(seq 12); do printf ' f%s.o' "$file"; done
  printf '\n\tcc -o $@ $^\n'
} >Makefile
echo '#include <stdio.h>' >f1.c
for file in $(seq 2 12); do echo "int f$file(int x);" >>f1.c; done
echo 'int main(void) { int sum = 0;' >>f1.c
for file in $(seq 2 12); do
  echo "  sum += f$file(sum);" >>f1.c
  {
    echo '#include <stdlib.h>'
    echo '#include <string.h>'
    for function in $(seq 10); do
      echo "static int g$function(int x) { char text[64]; memset(text, x, sizeof text); for (int i = 0; i < x; i++) x += text[i % 64] * $function; return abs(x); }"
    done
    echo "int f$file(int x) { return g1(x) + g2(x) + g3(x) + g4(x) + g5(x) + g6(x) + g7(x) + g8(x) + g9(x) + g10(x); }"
  } >"f$file.c"
done
# Not echo, which may make a line's end of \n.
printf '%s\n' '  printf("%d\n", sum); return 0; }' >>f1.c
