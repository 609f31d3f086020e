# reseed: lets what it reads from its input, up to 512 bytes, into all random numbers that the kernel gives from now on.
#
# What is written to /dev/urandom counts only when the kernel makes its next seed, up to a minute later; this makes it at
# once. No program of busybox does.

        .set    SYS_read, 0
        .set    SYS_write, 1
        .set    SYS_open, 2
        .set    SYS_ioctl, 16
        .set    SYS_exit, 60
        .set    O_WRONLY, 1
        .set    RNDRESEEDCRNG, 0x5207

        .globl  _start
_start: sub     $512, %rsp
        xor     %edi, %edi              # read(0, seed, 512)
        mov     %rsp, %rsi
        mov     $512, %edx
        mov     $SYS_read, %eax
        syscall
        test    %rax, %rax
        jle     failed
        mov     %rax, %r12

        lea     device(%rip), %rdi      # open("/dev/urandom", O_WRONLY)
        mov     $O_WRONLY, %esi
        mov     $SYS_open, %eax
        syscall
        test    %rax, %rax
        js      failed
        mov     %rax, %r13

        mov     %r13, %rdi              # write(device, seed, read)
        mov     %rsp, %rsi
        mov     %r12, %rdx
        mov     $SYS_write, %eax
        syscall
        cmp     %r12, %rax
        jne     failed

        mov     %r13, %rdi              # ioctl(device, RNDRESEEDCRNG)
        mov     $RNDRESEEDCRNG, %esi
        mov     $SYS_ioctl, %eax
        syscall
        test    %rax, %rax
        jnz     failed

        xor     %edi, %edi
        jmp     exit
failed: mov     $1, %edi
exit:   mov     $SYS_exit, %eax
        syscall

device: .asciz  "/dev/urandom"
