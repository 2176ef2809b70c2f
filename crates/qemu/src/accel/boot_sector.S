# What an accelerator has to run to be believed: what every kernel does on its way up.
#
# Real mode, protected mode, long mode with paging, a page fault, user mode and back by a system call, and an
# interrupt that wakes a halted CPU. Hypervisors without hardware support have been seen to get through the
# firmware and a few instructions, and then to fail at `iret`, or to interrupt what must not be interrupted.
#
# Assemble with:  as --64 boot_sector.S -o sector.o && ld -Ttext 0x7c00 --oformat binary -o boot_sector.bin sector.o

        .intel_syntax noprefix
        .set    sum, 0x15 + 10000 * 10001 / 2
        .set    pml4, 0x1000
        .set    pdpt, 0x2000
        .set    page_directory, 0x3000          # with pages of 2 MiB
        .set    idt, 0x4000
        .set    tss, 0x5000
        .set    tables_end, 0x6000
        .set    present_writable_user, 0x07
        .set    large_page, 0x80
        .set    absent, 0x200000                # the second large page, mapped by the page fault

        .globl  _start
        .code16
_start:
        cli
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        mov     di, pml4
        mov     cx, tables_end - pml4
        rep     stosb
        lgdt    [gdtr]
        mov     eax, cr0
        or      al, 1                           # protection
        mov     cr0, eax
        .byte   0xea                            # far jump
        .word   protected, 0x08

        .code32
protected:
        mov     ax, 0x10
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, 0x7c00
        pushfd
        push    cs
        push    offset returned
        iretd
returned:
        mov     word ptr [pml4], pdpt | present_writable_user
        mov     word ptr [pdpt], page_directory | present_writable_user
        mov     byte ptr [page_directory], large_page | present_writable_user
        mov     eax, 0x20                       # physical address extension
        mov     cr4, eax
        mov     eax, pml4
        mov     cr3, eax
        mov     ecx, 0xc0000080                 # extended features: long mode
        rdmsr
        or      ah, 1
        wrmsr
        mov     eax, cr0
        or      eax, 0x80000000                 # paging
        mov     cr0, eax
        .byte   0xea
        .long   long_mode
        .word   0x18

        .code64
long_mode:
        lidt    [idtr]
        mov     dword ptr [tss + 4], 0x7b00     # stack for what comes from user mode
        mov     ax, 0x30
        ltr     ax
        mov     edi, idt + 14 * 16
        mov     eax, offset page_fault
        call    set_gate
        mov     edi, idt + 0x20 * 16
        mov     eax, offset timer
        call    set_gate
        mov     edi, idt + 0x80 * 16
        mov     eax, offset system_call
        call    set_gate
        mov     byte ptr [rdi + 5], 0xee        # for user mode as well

        # The interrupt controller: vectors from 0x20, all masked.
        mov     al, 0x11
        out     0x20, al
        mov     al, 0x20
        out     0x21, al
        mov     al, 0x04
        out     0x21, al
        mov     al, 0x01
        out     0x21, al
        mov     al, 0xff
        out     0x21, al

        mov     ebx, absent
        mov     ecx, [rbx]

        push    0x2b                            # stack segment, pointer, flags, code segment, address
        push    0x7a00
        push    0x202
        push    0x23
        push    offset user
        iretq
user:
        mov     eax, 0x15
        mov     ecx, 10000
1:      add     eax, ecx                        # enough work for a loop to be noticed
        loop    1b
        int     0x80
system_call:
        cmp     eax, sum
        jne     fail
        mov     al, 0xfe                        # the timer alone, as the firmware has set it
        out     0x21, al
        sti
        hlt
fail:
        cli
        hlt
        jmp     fail
timer:
        mov     eax, 0x15                       # isa-debug-exit: QEMU's status is 2 * 0x15 + 1
        out     0xf4, eax
        jmp     fail
page_fault:
        mov     rax, cr2
        cmp     rax, rbx
        jne     fail
        mov     dword ptr [page_directory + 8], absent | large_page | present_writable_user
        add     esp, 8                          # the error code
        iretq

# An interrupt gate at edi for the code at eax.
set_gate:
        mov     [rdi], ax
        mov     word ptr [rdi + 2], 0x18
        mov     word ptr [rdi + 4], 0x8e00
        ret

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9a000000ffff              # 08 code, 32 bits
        .quad   0x00cf92000000ffff              # 10 data
        .quad   0x00209a0000000000              # 18 code, 64 bits
        .quad   0x0020fa0000000000              # 20 code, 64 bits, user
        .quad   0x00cff2000000ffff              # 28 data, user
        .word   0x67, tss, 0x8900, 0            # 30 task state
        .quad   0
gdtr:   .word   gdtr - gdt - 1
        .long   gdt
idtr:   .word   0x0fff
        .long   idt, 0
        .org    510
        .word   0xaa55
