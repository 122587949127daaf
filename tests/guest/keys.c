// Keys and keyrings: add_key, request_key, keyctl.
#include "facts.h"
#include <linux/keyctl.h>

static int add(const char *type, const char *description, const void *payload, size_t length, int ring) {
  return syscall(SYS_add_key, type, description, payload, length, ring);
}
static int request(const char *type, const char *description, const char *callout, int ring) {
  return syscall(SYS_request_key, type, description, callout, ring);
}
#define keyctl(...) syscall(SYS_keyctl, __VA_ARGS__)

static char large[32768];

static void payloads(void) {
  F(add("user", "name", "x", 0, KEY_SPEC_THREAD_KEYRING));
  F(add("user", "name", large, 32768, KEY_SPEC_THREAD_KEYRING));
  F(add("user", "name", NULL, 8, KEY_SPEC_THREAD_KEYRING));
  F(add("user", "", "x", 1, KEY_SPEC_THREAD_KEYRING));
  F(add("user", "name", "x", 1 << 20, KEY_SPEC_THREAD_KEYRING));
  F(add("no such type", "name", "x", 1, KEY_SPEC_THREAD_KEYRING));
  F(add(".hidden", "name", "x", 1, KEY_SPEC_THREAD_KEYRING));
  F(add("keyring", ".hidden", NULL, 0, KEY_SPEC_THREAD_KEYRING));
  F(add("keyring", "ring", "x", 1, KEY_SPEC_THREAD_KEYRING));
  F(add("logon", "name", "x", 1, KEY_SPEC_THREAD_KEYRING));
  F(add(BAD, "name", "x", 1, KEY_SPEC_THREAD_KEYRING));
  F(add("user", "name", "x", 1, 0));
  F(add("user", "name", "x", 1, -99));
  T(add("logon", "service:name", "x", 1, KEY_SPEC_THREAD_KEYRING) > 0);
}

static void life(void) {
  char buffer[64] = {0};
  int key = add("user", "name", "secret", 6, KEY_SPEC_PROCESS_KEYRING);
  T(key > 0);
  T(add("user", "name", "other", 5, KEY_SPEC_PROCESS_KEYRING) == key);
  F(keyctl(KEYCTL_READ, key, buffer, sizeof buffer));
  say("%s", buffer);
  F(keyctl(KEYCTL_READ, key, buffer, 2));
  F(keyctl(KEYCTL_READ, key, NULL, 0));
  F(keyctl(KEYCTL_UPDATE, key, "third", 5));
  keyctl(KEYCTL_DESCRIBE, key, buffer, sizeof buffer);
  say("%s", buffer);
  T(request("user", "name", NULL, 0) == key);
  F(request("user", "nobody", NULL, 0));
  F(request("no such type", "nobody", NULL, 0));
  F(keyctl(KEYCTL_SETPERM, key, 0x40000000));
  F(keyctl(KEYCTL_SETPERM, key, 0x01000000));
  F(keyctl(KEYCTL_READ, key, buffer, sizeof buffer));
  F(keyctl(KEYCTL_SETPERM, key, 0x3f000000));
  F(keyctl(KEYCTL_REVOKE, key));
  F(keyctl(KEYCTL_READ, key, buffer, sizeof buffer));
  F(keyctl(KEYCTL_UNLINK, key, KEY_SPEC_PROCESS_KEYRING));
  F(keyctl(KEYCTL_UNLINK, 0x7ffffff0, KEY_SPEC_PROCESS_KEYRING));
}

static void rings(void) {
  int numbers[4] = {0};
  F(keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0));
  int ring = keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1);
  T(ring > 0);
  int outer = add("keyring", "outer", NULL, 0, ring), inner = add("keyring", "inner", NULL, 0, outer);
  F(keyctl(KEYCTL_LINK, outer, inner));
  F(keyctl(KEYCTL_LINK, inner, outer));
  F(keyctl(KEYCTL_READ, outer, numbers, sizeof numbers));
  T(numbers[0] == inner);
  int key = add("user", "deep", "x", 1, inner);
  T(keyctl(KEYCTL_SEARCH, outer, "user", "deep", 0) == key);
  T(request("user", "deep", NULL, 0) == key);
  F(keyctl(KEYCTL_SEARCH, key, "user", "deep", 0));
  F(keyctl(KEYCTL_CLEAR, key));
  F(keyctl(KEYCTL_CLEAR, outer));
  F(keyctl(KEYCTL_READ, outer, numbers, sizeof numbers));
  F(request("user", "deep", NULL, 0));
  F(keyctl(KEYCTL_SET_REQKEY_KEYRING, 6));
  F(keyctl(KEYCTL_SET_REQKEY_KEYRING, 1));
  F(keyctl(KEYCTL_SET_REQKEY_KEYRING, -1));
  F(keyctl(KEYCTL_ASSUME_AUTHORITY, 0));
  F(keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_GROUP_KEYRING, 0));
  F(keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_REQKEY_AUTH_KEY, 0));
  F(keyctl(9999, 0));
}

static void sessions(void) {
  F(keyctl(KEYCTL_JOIN_SESSION_KEYRING, ".hidden"));
  int first = keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL), key = add("user", "name", "x", 1, KEY_SPEC_SESSION_KEYRING);
  T(first > 0 && key > 0);
  CHILD("a child", { _exit(request("user", "name", NULL, 0) == key ? 0 : 1); });
  T(keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL) != first);
  F(request("user", "name", NULL, 0));
  add("user", "own", "x", 1, KEY_SPEC_PROCESS_KEYRING);
  CHILD("a child's process keyring", { _exit(request("user", "own", NULL, 0) < 0 && errno == ENOKEY ? 0 : 1); });
}

int main(void) {
  G(payloads);
  G(life);
  G(rings);
  G(sessions);
}
