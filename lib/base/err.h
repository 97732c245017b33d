/* Errors that travel up: a code and one message. The library fills it, the tool prints it once. */
#ifndef RD_BASE_ERR_H
#define RD_BASE_ERR_H

#define RD_MUST __attribute__((warn_unused_result))
#define RD_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Library functions return RD_OK or one of these; none is used as a size. */
enum rd_code {
	RD_OK = 0,
	RD_EFAIL = -1,   /* anything without a code of its own */
	RD_EUSAGE = -2,  /* the caller asked for something that makes no sense */
	RD_EINPUT = -3,  /* input truncated, corrupt or not what it says it is */
	RD_ENOMEM = -4,
	RD_ESHAPE = -5,  /* sizes that do not fit one another */
	RD_EDOMAIN = -6, /* a formula asked outside its domain */
	RD_EDEVICE = -7,
	RD_EIO = -8      /* the operating system refused a read or a write */
};

struct rd_err {
	enum rd_code code;
	char msg[512];
};

/* Fill *e and return code, so that `return rd_fail(e, ...)` is the whole of an error path.
 * The message says what and why ("config.json: block_out_channels: ..."), no tool name, no newline. */
int rd_fail(struct rd_err *e, enum rd_code code, const char *fmt, ...) RD_PRINTF(3, 4);

/* As rd_fail, with ": <strerror(errno)>" appended. */
int rd_fail_errno(struct rd_err *e, enum rd_code code, const char *fmt, ...) RD_PRINTF(3, 4);

/* Put "<fmt>: " in front of the message that is there; returns the code that is there. */
int rd_context(struct rd_err *e, const char *fmt, ...) RD_PRINTF(2, 3);

/* The exit status that an error asks of a tool: 2 for RD_EUSAGE, 3 for RD_EINPUT, otherwise 1. */
int rd_exit_status(const struct rd_err *e);

#endif
