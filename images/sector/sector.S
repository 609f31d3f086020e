# An operating system of exactly 512 bytes.
#
# When a PC starts, its firmware (the BIOS) copies the first 512 bytes of the disk, the boot sector, to address
# 0x7c00 and jumps there, if the last two of them are 0x55 0xaa. From then on the machine is ours: no kernel, no
# drivers, no memory protection. This sector greets on the first serial line (and on the screen, if there is one),
# then answers every line that is typed:
#
#       ?       what it understands
#       t       how many timer ticks have passed since the machine was started
#       r       restarts the machine
#       o       turns it off
#       other   is said back
#
# While nobody types, the processor sleeps: it is woken by an interrupt of the serial port, not by asking in a loop.
# The processor is in 16-bit "real mode", as every PC processor is when it is switched on.

        .intel_syntax noprefix
        .code16
        .globl  _start

        COM1          = 0x3f8           # the serial port's first register: data
        COM1_ENABLE   = COM1 + 1        #   which events interrupt us
        COM1_FIFO     = COM1 + 2        #   its buffers
        COM1_FORMAT   = COM1 + 3        #   bits per character
        COM1_MODEM    = COM1 + 4        #   control lines
        COM1_STATUS   = COM1 + 5        #   bit 0: a character came, bit 5: ready to send
        PIC           = 0x20            # the interrupt controller
        PIC_MASK      = PIC + 1
        IRQ4_VECTOR   = 0x0c * 4        # IRQ 4 (serial port 1) is interrupt 0x0c; its handler's address lies here
        POWER         = 0x604           # where QEMU's PCs are turned off
        BIOS_TICKS    = 0x46c           # the BIOS counts timer ticks here, 18.2 in a second
        LINE          = 0x7e00          # what is typed is collected right after this sector
        LINE_END      = LINE + 72

# ---- Setting up ---------------------------------------------------------------------------------------------------

_start: ljmp    0, offset setup         # some firmware starts us as 07c0:0000; make it 0000:7c00
setup:  xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00              # the stack grows down from where we are
        cld

        mov     word ptr [IRQ4_VECTOR], offset on_serial
        mov     word ptr [IRQ4_VECTOR + 2], ax
        in      al, PIC_MASK
        and     al, 0b11101111          # let IRQ 4 through
        out     PIC_MASK, al

        mov     si, offset registers    # the serial port: 115200 bits per second, 8 bits, no parity
        mov     cx, 6
1:      lodsw                           # low byte: the register, high byte: its value
        mov     dx, COM1
        add     dl, al
        mov     al, ah
        out     dx, al
        loop    1b
        sti

        mov     si, offset message
        call    print

# ---- One line after the other -------------------------------------------------------------------------------------

prompt: mov     si, offset ready
        call    print
        mov     di, offset LINE
next:   call    get
        cmp     al, '\r'                # Enter ends the line
        je      answer
        cmp     al, 0x7f                # Backspace and Delete take one character back
        je      rub
        cmp     al, 8
        je      rub
        cmp     di, offset LINE_END     # the line is full
        je      next
        stosb
        call    put                     # show what is typed
        jmp     next
rub:    cmp     di, offset LINE
        je      next
        dec     di
        mov     si, offset erase
        call    print
        jmp     next

answer: mov     byte ptr [di], 0        # a zero byte ends every text
        mov     si, offset newline
        call    print
        mov     ax, [LINE]              # its first character, and the zero byte if it is the only one
        test    al, al
        je      prompt
        cmp     ax, '?'
        je      help
        cmp     ax, 't'
        je      ticks
        cmp     ax, 'r'
        je      restart
        cmp     ax, 'o'
        je      off
        mov     si, offset said
        call    print
        mov     si, offset LINE
        jmp     last

help:   mov     si, offset commands
last:   call    print
        jmp     prompt

ticks:  mov     eax, [BIOS_TICKS]
        call    number
        mov     si, offset unit
        jmp     last

off:    mov     dx, POWER               # the ACPI power register: sleep state "off", go
        mov     ax, 0x2000
        out     dx, ax                  # (a machine that has it elsewhere goes on and restarts)
restart:
        ljmp    0xffff, 0               # where every PC begins

# ---- Numbers and characters ---------------------------------------------------------------------------------------

number: xor     edx, edx                # prints eax as a decimal number: the last digit is the remainder by ten,
        mov     ebx, 10
        div     ebx
        push    dx
        test    eax, eax                # the digits before it are the quotient, printed first in the same way
        jz      1f
        call    number
1:      pop     ax
        add     al, '0'
        jmp     put

print:  lodsb                           # prints the text at si up to its zero byte
        test    al, al
        jz      1f
        call    put
        jmp     print
1:      ret

put:    push    ax                      # sends the character in al
        mov     dx, COM1_STATUS
1:      in      al, dx
        test    al, 0b00100000
        jz      1b                      # the port still sends the one before
        pop     ax
        mov     dx, COM1
        out     dx, al
        mov     ah, 0x0e                # and asks the BIOS to show it on the screen
        xor     bx, bx
        int     0x10
        ret

get:    mov     dx, COM1_STATUS         # waits for a character and returns it in al
        cli                             # nothing may come between looking and falling asleep:
        in      al, dx
        test    al, 1
        jnz     1f
        sti                             # (takes effect only after the next instruction)
        hlt                             # sleep until an interrupt
        jmp     get
1:      sti
        mov     dx, COM1
        in      al, dx
        ret

on_serial:                              # the interrupt itself has nothing to do: `get` is awake again
        push    ax
        mov     al, 0x20                # "seen", to the interrupt controller
        out     PIC, al
        pop     ax
        iret

# ---- Texts and numbers --------------------------------------------------------------------------------------------

registers:                              # of the serial port: register, value
        .byte   3, 0x80                 # the next two set the speed
        .byte   0, 1                    # 115200 / 1
        .byte   3, 0x03                 # 8 bits; speed is set
        .byte   2, 0x07                 # buffers on and empty
        .byte   4, 0x0b                 # ready; let its interrupts out
        .byte   1, 0x01                 # interrupt when a character came

ready:  .asciz  "\r\nsector> "
newline:.asciz  "\r\n"
erase:  .asciz  "\b \b"
said:   .asciz  "you said: "
unit:   .asciz  " ticks since start"
commands:
        .asciz  "? help, t ticks, r restart, o off; anything else comes back"

        .org    400                     # the message has a fixed place, so that it can be changed in the built image:
message:.fill   109, 1, 0               # 109 bytes of text, filled up with zeros,
        .byte   0                       # and a zero that always ends it

        .byte   0x55, 0xaa              # the firmware starts only a sector that ends like this
