/* crowd.c - opens SMTP sessions and keeps them, for measuring what they cost. Says EHLO in each, and
 * STARTTLS first when asked to. Prints a line when all are open, and ends when standard input does. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ADDRESS_PORTS 20000 /* sessions of one source address: the kernel has ports for 28,000 */

static SSL_CTX *context;

static _Noreturn void die(const char *what)
{
  perror(what);
  exit(1);
}

static void say(int sock, SSL *ssl, const char *text)
{
  int n = (int)strlen(text);

  if ((ssl ? SSL_write(ssl, text, n) : (int)write(sock, text, (size_t)n)) != n)
    die("write");
}

/* one reply, which must begin with 2 */
static void hear(int sock, SSL *ssl)
{
  char buf[4096];
  size_t len = 0;

  for (;;) {
    int n = ssl ? SSL_read(ssl, buf + len, (int)(sizeof buf - 1 - len))
                : (int)read(sock, buf + len, sizeof buf - 1 - len);
    char *line = buf;
    if (n <= 0)
      die("read");
    len += (size_t)n;
    buf[len] = 0;
    for (char *end; (end = strchr(line, '\n')); line = end + 1)
      if (end - line > 3 && line[3] == ' ') {
        if (line[0] == '2')
          return;
        fprintf(stderr, "crowd: %s\n", line);
        exit(1);
      }
  }
}

static void open_session(const struct sockaddr_in *to, unsigned long number, int is_tls)
{
  struct sockaddr_in from = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(0x7f000002 + (uint32_t)(number / ADDRESS_PORTS))};
  int sock = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  SSL *ssl = NULL;

  if (sock < 0 || bind(sock, (struct sockaddr *)&from, sizeof from) != 0 ||
      connect(sock, (const struct sockaddr *)to, sizeof *to) != 0)
    die("connect");
  setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  hear(sock, NULL);
  say(sock, NULL, "EHLO client.example\r\n");
  hear(sock, NULL);
  if (!is_tls)
    return;
  say(sock, NULL, "STARTTLS\r\n");
  hear(sock, NULL);
  ssl = SSL_new(context);
  if (!ssl || SSL_set_fd(ssl, sock) != 1 || SSL_connect(ssl) != 1)
    die("TLS");
  say(sock, ssl, "EHLO client.example\r\n");
  hear(sock, ssl);
}

int main(int argc, char **argv)
{
  struct sockaddr_in to = {.sin_family = AF_INET};
  struct rlimit all = {200000, 200000};
  char rest[16];
  int is_tls;

  if (argc != 5) {
    fputs("usage: crowd ADDRESS PORT SESSIONS clear|tls\n", stderr);
    return 64;
  }
  setrlimit(RLIMIT_NOFILE, &all);
  to.sin_port = htons((uint16_t)atoi(argv[2]));
  inet_pton(AF_INET, argv[1], &to.sin_addr);
  is_tls = strcmp(argv[4], "tls") == 0;
  if (is_tls) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  }
  for (unsigned long i = 0; i < strtoul(argv[3], NULL, 10); i++)
    open_session(&to, i, is_tls);
  puts("open");
  fflush(stdout);
  while (read(0, rest, sizeof rest) > 0)
    ;
  return 0;
}
