;;; fimd-ghost.el --- Text that is shown and not there  -*- lexical-binding: t -*-

;; Copyright (C) 2026 The fimd authors

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; A suggestion is one or more texts for the same place.  What of it is shown is found anew after
;; every command from the buffer's own text: the suggestion fits while what was typed since begins
;; it and what is right of point is what was there.  So keys that agree shrink the one overlay,
;; deleting them again lets it grow, and anything else ends it.

;;; Code:

(require 'cl-lib)

(defface fimd-ghost '((t :inherit shadow :slant italic))
  "Face of ghost text."
  :group 'fimd)

(cl-defstruct (fimd-ghost (:constructor fimd-ghost--new) (:copier nil))
  texts                    ; a list of strings
  (index 0)                ; the one that is shown
  beg                      ; marker: where the texts begin
  right                    ; the text right of point that they take the place of
  tail                     ; what follows that in the line
  id                       ; of the request
  final)                   ; whether no more is to come

(defvar-local fimd-ghost nil "The suggestion that is shown, or nil.")
(defvar-local fimd-ghost--overlay nil "The overlay, which is kept for the next one.")
(defvar-local fimd-ghost-shown nil "The text that the overlay shows, nil where nothing does.")
(defvar-local fimd-ghost-hidden 0 "How many characters right of point it takes the place of.")

(defun fimd-ghost-make (texts beg end id final)
  "A suggestion of TEXTS for BEG to END, around point, of the request ID.
FINAL is whether it is whole.  Nil where it cannot be shown at point."
  (when (and texts (<= beg (point) end (pos-eol)))
    (fimd-ghost--new :texts texts :beg (copy-marker beg) :id id :final final
                     :right (buffer-substring-no-properties (point) end)
                     :tail (buffer-substring-no-properties end (pos-eol)))))

(defun fimd-ghost-text (ghost)
  "The text of GHOST that is to be shown."
  (nth (fimd-ghost-index ghost) (fimd-ghost-texts ghost)))

(defun fimd-ghost--added (ghost)
  "The text right of point that GHOST is to replace, nil where it does not fit.
A closer that came with a typed opener is part of it."
  (let ((now (buffer-substring-no-properties (point) (pos-eol)))
        (tail (fimd-ghost-tail ghost)))
    (and (string-suffix-p (concat (fimd-ghost-right ghost) tail) now)
         (substring now 0 (- (length now) (length tail))))))

(defun fimd-ghost--replaces-p (ghost right rest)
  "Return non-nil if REST of GHOST may take the place of RIGHT.
That is what GHOST's range had, with nothing before but closers that the editor
added and REST has, too."
  (let ((added (string-remove-suffix (fimd-ghost-right ghost) right)))
    (or (string-empty-p added)
        (and (string-match-p "\\`[]\"'`)}>]+\\'" added)
             (string-search added rest)))))

(defun fimd-ghost-fit (ghost)
  "What of GHOST can be shown at point: (TEXT . HIDDEN), or nil.
HIDDEN is the number of characters right of point that TEXT takes the place of."
  (save-restriction
    (widen)
    (let* ((beg (marker-position (fimd-ghost-beg ghost)))
           (text (fimd-ghost-text ghost))
           (typed (and (<= beg (point) (+ beg (length text)))
                       (buffer-substring-no-properties beg (point))))
           (right (and typed (string-prefix-p typed text) (fimd-ghost--added ghost))))
      (when right
        (let ((rest (substring text (length typed))))
          (cond
           ((string-suffix-p right rest) ; it is put back as it was
            (setq rest (substring rest 0 (- (length rest) (length right))))
            (and (not (string-empty-p rest)) (cons rest 0)))
           ((fimd-ghost--replaces-p ghost right rest)
            (and (not (string-empty-p rest)) (cons rest (length right))))))))))

(defun fimd-ghost--draw (text hidden)
  "Show TEXT at point in place of HIDDEN characters."
  (let ((string (propertize text 'face 'fimd-ghost))
        (end (+ (point) hidden)))
    ;; The cursor stays in front of it.
    (put-text-property 0 1 'cursor t string)
    (if fimd-ghost--overlay
        (move-overlay fimd-ghost--overlay (point) end (current-buffer))
      (setq fimd-ghost--overlay (make-overlay (point) end nil t nil)))
    (overlay-put fimd-ghost--overlay 'fimd t)
    (overlay-put fimd-ghost--overlay 'window (selected-window))
    (overlay-put fimd-ghost--overlay 'after-string (and (zerop hidden) string))
    (overlay-put fimd-ghost--overlay 'display (and (> hidden 0) string)))
  (setq fimd-ghost-shown text
        fimd-ghost-hidden hidden))

(defun fimd-ghost-update ()
  "Show what of the suggestion fits now; return nil and hide it where nothing does."
  (let ((fit (and fimd-ghost (fimd-ghost-fit fimd-ghost))))
    (if (not fit)
        (progn (fimd-ghost-hide) nil)
      (fimd-ghost--draw (car fit) (cdr fit))
      t)))

(defun fimd-ghost-hide ()
  "Show nothing."
  (when fimd-ghost
    (set-marker (fimd-ghost-beg fimd-ghost) nil))
  (when (and fimd-ghost--overlay (overlay-buffer fimd-ghost--overlay))
    (delete-overlay fimd-ghost--overlay))
  (setq fimd-ghost nil
        fimd-ghost-shown nil
        fimd-ghost-hidden 0))

(defun fimd-ghost-show (ghost)
  "Show GHOST in place of what is shown; return whether anything is.
A first line that what is shown begins with does not shorten it."
  (let ((fit (and ghost (fimd-ghost-fit ghost))))
    (if (and fit fimd-ghost fimd-ghost-shown (not (fimd-ghost-final ghost))
             (string-prefix-p (car fit) fimd-ghost-shown)
             (fimd-ghost-update))
        (progn (setf (fimd-ghost-id fimd-ghost) (fimd-ghost-id ghost)
                     (fimd-ghost-final fimd-ghost) nil)
               t)
      (unless (eq ghost fimd-ghost)
        (fimd-ghost-hide))
      (setq fimd-ghost ghost)
      (fimd-ghost-update))))

(defun fimd-ghost-step (n)
  "Show the text N further of those that fit."
  (let ((count (length (fimd-ghost-texts fimd-ghost)))
        (was (fimd-ghost-index fimd-ghost)))
    (cl-loop for i from 1 to count
             do (setf (fimd-ghost-index fimd-ghost) (mod (+ was (* n i)) count))
             until (fimd-ghost-fit fimd-ghost))
    (fimd-ghost-update)))

(defun fimd-ghost-changed (beg end)
  "Hide the suggestion where the changed text from BEG to END is not its own.
What happens on its own lines is judged after the command."
  (when (and fimd-ghost
             (or (< end (fimd-ghost-beg fimd-ghost))
                 (> beg (save-excursion
                          (goto-char (overlay-start fimd-ghost--overlay))
                          (forward-line 2)
                          (point)))))
    (fimd-ghost-hide)))

;;;; Taking it

(defun fimd-ghost-word (text)
  "The length of the first word of TEXT, or of what stands in place of one."
  (if (string-match "\\`[ \t\n]*\\(?:[[:alnum:]_]+\\|[^[:alnum:]_ \t\n]+\\)" text)
      (match-end 0)
    (length text)))

(defun fimd-ghost-line (text)
  "The length of TEXT up to the end of its first line that is not empty."
  (if (string-match "\\`\n*[^\n]*" text)
      (match-end 0)
    (length text)))

(defun fimd-ghost-take (length)
  "Put the first LENGTH characters of what is shown into the buffer.
All of it takes the place of what it hides in one change, by which the daemon
knows that it was taken."
  (let ((text fimd-ghost-shown)
        (hidden fimd-ghost-hidden))
    (if (< length (length text))
        (progn (insert (substring text 0 length))
               (fimd-ghost-update))
      (fimd-ghost-hide)
      (set-match-data (list (point) (+ (point) hidden)))
      (replace-match text t t))))

(provide 'fimd-ghost)
;;; fimd-ghost.el ends here
