/* no_network.c - runs a program under a kernel filter that kills it at the first call that could
 * reach a network: no_network [--listen] PROGRAM ARGUMENT...
 *
 * Only sockets of the machine itself (AF_UNIX) can be made. With --listen those of IPv4, too, which
 * may be bound and listened on, but nothing can be connected or sent to an address. io_uring, which
 * could do the same without these calls, is not there. The filter holds for all threads and children, and
 * nothing takes it off. Exit code 77: this kernel or machine has no such filters. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SKIPPED 77
#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0
#endif
#define X32 0x40000000u /* the bit of x86-64's second set of calls */

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
/* The next instruction where it is so, else the one behind that. */
#define IF(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1)
#define UNLESS(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 1, 0)
#define IF_AT_LEAST(value) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (value), 0, 1)
#define DO(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define KILL DO(SECCOMP_RET_KILL_PROCESS)
#define ALLOW DO(SECCOMP_RET_ALLOW)

static int filter(bool listen) {
  /* args[0]'s lower half comes first on the machines above. */
  struct sock_filter program[] = {
      LOAD(arch),         UNLESS(ARCH), KILL,
      LOAD(nr),           IF_AT_LEAST(X32), KILL,
      IF(SYS_io_uring_setup), DO(SECCOMP_RET_ERRNO | ENOSYS),
      IF(SYS_connect),    DO(listen ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW),
      IF(SYS_sendto),     DO(listen ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW),
      IF(SYS_sendmsg),    DO(listen ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW),
      IF(SYS_sendmmsg),   DO(listen ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW),
      UNLESS(SYS_socket), ALLOW,
      LOAD(args[0]),      IF(AF_UNIX), ALLOW,
      IF(AF_INET),        DO(listen ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS),
      KILL,
  };
  struct sock_fprog all = {sizeof program / sizeof *program, program};
  if (ARCH == 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all, 0, 0);
}

int main(int argc, char **argv) {
  bool listen = argc > 1 && strcmp(argv[1], "--listen") == 0;
  if (argc < 2 + listen) return 2;
  if (filter(listen) != 0) {
    fprintf(stderr, "no_network: %s\n", strerror(errno));
    return SKIPPED;
  }
  execv(argv[1 + listen], argv + 1 + listen);
  fprintf(stderr, "no_network: %s: %s\n", argv[1 + listen], strerror(errno));
  return 127;
}
