# A shell session: real files in, pipes, processes and files of its own.
cd "$(mktemp -d)" || exit
echo "uname: $(uname -srm); shell $$ in $PWD"
cut -d: -f7 /etc/passwd | sort | uniq -c | sort -rn | head -3
find /usr/share/doc -maxdepth 1 -type d | wc -l >count
tar -C /usr/share/doc/bash -czf bash.tar.gz . && tar -tzf bash.tar.gz | wc -l >>count
paste -sd ' ' count
(sleep 0.2; echo 'a background job ends') & wait $!
dmesg 2>/dev/null | head -2
