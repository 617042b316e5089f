/* source.c - sends messages by SMTP as fast as they are taken, for measuring: some sessions at
 * once, each with one message after the other. Prints messages a second. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS_MAX 500

static struct sockaddr_in to;
static const char *rcpt;
static char content[64 * 1024];
static unsigned long each;

static _Noreturn void die(const char *what)
{
  perror(what);
  exit(1);
}

static void say(int sock, const char *text)
{
  if (write(sock, text, strlen(text)) != (ssize_t)strlen(text))
    die("write");
}

/* reads `n` replies, each of which must begin with its digit in `want` */
static void hear(int sock, const char *want)
{
  static __thread char buf[8192];
  static __thread size_t len;

  while (*want) {
    char *end = memchr(buf, '\n', len);
    ssize_t got;
    if (end) {
      int is_last = buf[3] == ' ';
      if (buf[0] != *want) {
        fprintf(stderr, "source: %.*s\n", (int)(end - buf), buf);
        exit(1);
      }
      len -= (size_t)(end + 1 - buf);
      memmove(buf, end + 1, len);
      want += is_last;
      continue;
    }
    got = read(sock, buf + len, sizeof buf - len);
    if (got <= 0)
      die("read");
    len += (size_t)got;
  }
}

static void *session(void *arg)
{
  int sock = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  char envelope[1000];

  if (connect(sock, (struct sockaddr *)&to, sizeof to) != 0)
    die("connect");
  setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  hear(sock, "2");
  say(sock, "EHLO client.example\r\n");
  hear(sock, "2");
  snprintf(envelope, sizeof envelope, "MAIL FROM:<sender@client.example>\r\nRCPT TO:<%s>\r\nDATA\r\n", rcpt);
  for (unsigned long i = 0; i < each; i++) {
    say(sock, envelope);
    hear(sock, "223");
    say(sock, content);
    hear(sock, "2");
  }
  say(sock, "QUIT\r\n");
  hear(sock, "2");
  close(sock);
  return arg;
}

static void compose(size_t size)
{
  size_t n = (size_t)snprintf(content, sizeof content, "Subject: one of many\r\n\r\n");

  while (n + 66 < size && n + 70 < sizeof content)
    n += (size_t)snprintf(content + n, sizeof content - n, "%064d\r\n", 0);
  snprintf(content + n, sizeof content - n, ".\r\n");
}

int main(int argc, char **argv)
{
  pthread_t thread[SESSIONS_MAX];
  struct timespec a, b;
  unsigned long sessions;

  if (argc != 7) {
    fputs("usage: source ADDRESS PORT SESSIONS MESSAGES SIZE RECIPIENT\n", stderr);
    return 64;
  }
  to.sin_family = AF_INET;
  to.sin_port = htons((uint16_t)atoi(argv[2]));
  inet_pton(AF_INET, argv[1], &to.sin_addr);
  sessions = strtoul(argv[3], NULL, 10);
  sessions = sessions < 1 ? 1 : sessions > SESSIONS_MAX ? SESSIONS_MAX : sessions;
  each = strtoul(argv[4], NULL, 10) / sessions;
  compose(strtoul(argv[5], NULL, 10));
  rcpt = argv[6];
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (unsigned long i = 0; i < sessions; i++)
    if (pthread_create(&thread[i], NULL, session, NULL) != 0)
      die("thread");
  for (unsigned long i = 0; i < sessions; i++)
    pthread_join(thread[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &b);
  printf("%.0f\n", (double)(each * sessions) /
                     ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9));
  return 0;
}
