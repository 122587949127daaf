# web.sh NGINX CONF: nginx with two workers serves a page to curl.
mkdir -p /tmp/nginx/site
echo "<h1>served by nginx, from a machine with no Linux in it</h1>" >/tmp/nginx/site/index.html
"$1" -e /tmp/nginx/error.log -c "$2" || { cat /tmp/nginx/error.log; exit 1; }
curl -sS --retry 5 --retry-connrefused -D - http://127.0.0.1:8080/index.html | grep -iE '^(HTTP|Server|<h1>)'
code=$?
for request in 1 2 3 4 5; do curl -sS -o /dev/null -w '%{http_code} ' http://127.0.0.1:8080/index.html; done
echo
"$1" -e /tmp/nginx/error.log -c "$2" -s quit
exit $code
